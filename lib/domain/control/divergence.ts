import { createHash } from 'node:crypto';
import type { Item } from '#lib/domain/attribute-value.ts';
import type { ChangeKind } from '#lib/domain/change.ts';
import type { Lsn } from '#lib/domain/lsn.ts';

/** One change of a divergent tail. */
export type DivergentChange = {
  readonly kind: ChangeKind;
  readonly key: Item;
  readonly keyBytes: Uint8Array;
  readonly before?: Item;
  readonly after?: Item;
  readonly commitMs: number;
  readonly shard: string;
  readonly sequence: string;
  /** Its place in the log; absent if no log had it. */
  readonly lsn?: Lsn;
};

/**
 * The report of a divergent tail, for people and for whoever writes the changes again: one JSON line a change, in the
 * order in which they were made, items in DynamoDB JSON with binary as base64.
 */
export function encodeReport(changes: readonly DivergentChange[]): { bytes: Uint8Array; hash: string } {
  const lines = changes.map(({ kind, key, before, after, commitMs, lsn, shard, sequence }) =>
    JSON.stringify(
      {
        kind,
        at: new Date(commitMs).toISOString(),
        key,
        before: before ?? null,
        after: after ?? null,
        lsn: lsn === undefined ? null : `${lsn}`,
        shard,
        sequence,
      },
      (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value),
    ),
  );
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return { bytes, hash: createHash('sha256').update(bytes).digest('hex') };
}
