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
 *
 * @param before an earlier report of the same tail: what it says stays, though a log that was taken back since says it no more.
 */
export function encodeReport(
  changes: readonly DivergentChange[],
  before: Uint8Array = new Uint8Array(),
): { readonly bytes: Uint8Array; readonly hash: string; readonly changes: number; readonly keys: number } {
  const kept = Buffer.from(before).toString().split('\n').filter(Boolean);
  const known = new Set(kept.map(nameOf));
  const lines = [...kept, ...changes.map(lineOf).filter((line) => !known.has(nameOf(line)))];
  const keys = new Set(lines.map((line) => JSON.stringify(JSON.parse(line).key))).size;
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return { bytes, hash: createHash('sha256').update(bytes).digest('hex'), changes: lines.length, keys };
}

function lineOf({ kind, key, before, after, commitMs, lsn, shard, sequence }: DivergentChange): string {
  return JSON.stringify(
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
  );
}

/** What tells a change from all others. */
function nameOf(line: string): string {
  const { shard, sequence } = JSON.parse(line) as DivergentChange;
  return `${shard} ${sequence}`;
}
