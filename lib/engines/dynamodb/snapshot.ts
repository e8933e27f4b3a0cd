import type { Item } from '#lib/domain/attribute-value.ts';
import type { Head } from '#lib/domain/log.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { heartbeatKey, heartbeatTime } from '#lib/engines/dynamodb/heartbeat.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';
import { itemSize, MAX_REPLICATED_BYTES, tooLarge } from '#lib/engines/dynamodb/item-size.ts';
import { compareStamps, isMark, isStampOf, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import type { ApplyLease, SnapshotProgress } from '#lib/ports/control.ts';
import { type ItemStore, MAX_LEASED } from '#lib/ports/item-store.ts';

/*
 * A copy by watermarks, after DBLog (Andreakis and Papapanagiotou, 2019), with LSNs for watermarks. Before a
 * chunk is read, the leader's log ends at `low`: a row of the chunk is at least as new as every record up to
 * `low`, and whatever it holds beyond that will be logged above `low`. So rows are stamped `low`: records up to
 * `low` can't undo them, records above go on top. No record above `low` may be applied before the chunk is
 * written, or a row that such a record deletes would come back; the caller sees to that.
 */
type Deps = { readonly leader: ItemStore; readonly store: ItemStore; readonly key: KeySchema };
type Step = SnapshotProgress | 'done' | 'lost';

/** Copies the next page of the leader's table. Throws ITEM_TOO_LARGE. */
export async function copyChunk(
  deps: Deps,
  lease: ApplyLease,
  progress: SnapshotProgress,
  low: Head,
): Promise<Step> {
  const page = await deps.leader.scan(progress.cursor);
  const encoder = new ItemEncoder();
  const writes = page.rows.map(({ item }) => {
    encoder.rewind();
    const key = keyOf(item, deps.key);
    if (itemSize(item) > MAX_REPLICATED_BYTES) throw tooLarge();
    return { item, stamp: stampOf(low.lastEpoch, low.lastLsn, encoder.key(key, deps.key)) };
  });
  for (let i = 0; i < writes.length; i += MAX_LEASED) {
    if ((await deps.store.putLeased(writes.slice(i, i + MAX_LEASED), lease)) === 'lost') return 'lost';
  }
  const { cursor: _, ...rest } = progress;
  const rowsCopied = progress.rowsCopied + page.rows.length;
  if (page.cursor !== undefined) return { ...rest, rowsCopied, cursor: page.cursor };
  return { ...rest, rowsCopied, phase: 'sweep', watermarkMs: await heartbeatOf(deps.leader, deps.key) };
}

/** Removes from the next page of the own table what neither the copy nor the log has written since the start. */
export async function sweepChunk(
  deps: Deps,
  lease: ApplyLease,
  progress: SnapshotProgress,
  low: Head,
): Promise<Step> {
  const page = await deps.store.scan(progress.cursor);
  const encoder = new ItemEncoder();
  for (const { item, stamp } of page.rows) {
    encoder.rewind();
    const key = keyOf(item, deps.key);
    const keyBytes = encoder.key(key, deps.key);
    const start = stampOf(progress.startEpoch, progress.startLsn, keyBytes);
    // A mark is one that a step cut short has left: its item is still to go.
    const isStamped = stamp !== undefined && isStampOf(stamp, keyBytes) && !isMark(stamp);
    if (isStamped && compareStamps(stamp, start) >= 0) continue;
    const mark = stampOf(low.lastEpoch, low.lastLsn, keyBytes, true);
    if ((await deps.store.markDeletedLeased(key, mark, lease)) === 'lost') return 'lost';
    await deps.store.removeMarked(key, mark);
  }
  const { cursor: _, ...rest } = progress;
  return page.cursor === undefined ? { ...rest, phase: 'settle' } : { ...rest, cursor: page.cursor };
}

/** Done once a heartbeat that the leader wrote after the copy has come back through the log. */
export async function settle(deps: Deps, _lease: ApplyLease, progress: SnapshotProgress): Promise<Step> {
  const seen = await heartbeatOf(deps.store, deps.key);
  return seen > (progress.watermarkMs ?? 0) ? 'done' : progress;
}

async function heartbeatOf(store: ItemStore, schema: KeySchema): Promise<number> {
  return heartbeatTime(await store.get(heartbeatKey(schema))) ?? 0;
}

function keyOf(item: Item, schema: KeySchema): Item {
  return Object.fromEntries(schema.map(({ name }) => [name, item[name]!]));
}
