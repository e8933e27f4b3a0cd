import { createHash } from 'node:crypto';
import type { Item } from '#lib/domain/attribute-value.ts';
import type { ChangeKind } from '#lib/domain/change.ts';
import type { Lsn } from '#lib/domain/lsn.ts';

/** One change of a divergent tail. `key`, `before` and `after` are as people read them; keys are told apart by table. */
export type DivergentChange = {
  readonly kind: ChangeKind;
  /** Where a store has more than one. */
  readonly table?: string;
  readonly key: Readonly<Record<string, unknown>>;
  readonly before?: Readonly<Record<string, unknown>>;
  readonly after?: Readonly<Record<string, unknown>>;
  readonly commitMs: number;
  readonly shard: string;
  readonly sequence: string;
  /** Its place in the log; absent if no log had it. */
  readonly lsn?: Lsn;
  /** Names the transaction that it is a part of, among those of its shard. */
  readonly transaction?: string;
  /** The statement that does the same once more. */
  readonly sql?: string;
};

/** A change of an item, with all that it takes to undo it. */
export type DivergentItem = DivergentChange & {
  readonly key: Item;
  readonly keyBytes: Uint8Array;
  readonly before?: Item;
  readonly after?: Item;
};

/**
 * The report of a divergent tail, for people and for whoever writes the changes again: one JSON line a change, in the
 * order in which they were made, items in DynamoDB JSON with binary as base64, rows as text with the statement.
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
  const keys = new Set(lines.map(keyOf)).size;
  const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  return { bytes, hash: createHash('sha256').update(bytes).digest('hex'), changes: lines.length, keys };
}

function lineOf(change: DivergentChange): string {
  const { kind, table, key, before, after, commitMs, lsn, shard, sequence, transaction, sql } = change;
  return JSON.stringify(
    {
      kind,
      at: new Date(commitMs).toISOString(),
      ...(table !== undefined && { table }),
      key,
      before: before ?? null,
      after: after ?? null,
      lsn: lsn === undefined ? null : `${lsn}`,
      shard,
      sequence,
      ...(transaction !== undefined && { transaction }),
      ...(sql !== undefined && { sql }),
    },
    (_, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value),
  );
}

function keyOf(line: string): string {
  const { key, table } = JSON.parse(line) as DivergentChange;
  return JSON.stringify([table, key]);
}

/** What tells a change from all others. */
function nameOf(line: string): string {
  const { shard, sequence } = JSON.parse(line) as DivergentChange;
  return `${shard} ${sequence}`;
}
