import type { LaneId } from '#lib/domain/ids.ts';
import type { Entry, Head } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import { MAX_APPEND, type ReplicaLog } from '#lib/ports/replica-log.ts';

/** Bytes of records that one append carries at most, unless a single segment is larger. */
const MAX_BYTES = 32 << 20;
/** Segments on their way between two Regions at a time. */
const IN_FLIGHT = 8;

/**
 * How a relay ended. `head` is the receiving log's.
 * - `current`: it holds all that the sending log held.
 * - `ahead`: it holds more.
 * - `behind`: the sending log no longer reaches back to where it ends; `from` is the sending log's head.
 * - `diverged`: the two hold different records at one LSN; nothing was changed.
 * - `fenced`: it is sealed by a newer epoch than the one in whose name this relay acts.
 */
export type Relayed = {
  readonly kind: 'current' | 'ahead' | 'behind' | 'diverged' | 'fenced';
  readonly head: Head;
  readonly from?: Head;
  readonly records: number;
};

/**
 * Brings `to` up to `from`: copies segments, then appends their entries, as they are. One function, run by the
 * sending Region (push) or the receiving one (pull), as often as anybody likes.
 *
 * @param known the receiving head as last seen; saves a round trip, and may be stale.
 * @param authority the epoch in whose name the entries are appended.
 */
export async function relay(
  from: ReplicaLog,
  to: ReplicaLog,
  lane: LaneId,
  authority: Epoch,
  known?: Head,
): Promise<Relayed> {
  let head = known ?? (await to.head(lane));
  let records = 0;
  for (;;) {
    const entries = await nextRun(from, lane, head);
    const first = entries[0];
    if (first?.first !== head.lastLsn + 1n) {
      const end = await compare(from, lane, head);
      if (end !== 'raced') return { ...end, head, records };
      continue;
    }
    if (first.prev !== head.chain) return { kind: 'diverged', head, records };

    await copySegments(from, to, entries);
    const outcome = await to.append(lane, head, entries, authority);
    if (outcome.kind === 'fenced') return { kind: 'fenced', head: outcome.head, records };
    // A stale head costs one turn; whoever moved it has done part of the work.
    head = outcome.head;
    if (outcome.kind === 'appended' && !outcome.again) {
      records += entries.reduce((sum, { count }) => sum + count, 0);
    }
  }
}

async function nextRun(from: ReplicaLog, lane: LaneId, head: Head): Promise<readonly Entry[]> {
  const entries = await from.entries(lane, (head.lastLsn + 1n) as Lsn, MAX_APPEND);
  let bytes = 0;
  const end = entries.findIndex((entry, index) => {
    bytes += entry.bytes;
    return index > 0 && bytes > MAX_BYTES;
  });
  return end === -1 ? entries : entries.slice(0, end);
}

/** How the logs stand where `from` has no entry that begins right after `head`. */
async function compare(
  from: ReplicaLog,
  lane: LaneId,
  head: Head,
): Promise<Pick<Relayed, 'kind' | 'from'> | 'raced'> {
  const sender = await from.head(lane);
  if (head.lastLsn + 1n < sender.firstLsn) return { kind: 'behind', from: sender };
  if (sender.lastLsn < head.lastLsn) return { kind: 'ahead', from: sender };
  if (sender.lastLsn === head.lastLsn) {
    return { kind: sender.chain === head.chain ? 'current' : 'diverged', from: sender };
  }
  const next = await from.entryAt(lane, (head.lastLsn + 1n) as Lsn);
  return next?.first === head.lastLsn + 1n ? 'raced' : { kind: 'diverged', from: sender };
}

async function copySegments(from: ReplicaLog, to: ReplicaLog, entries: readonly Entry[]): Promise<void> {
  const queue = new Set(entries.map(({ hash }) => hash)).values();
  const flight = async () => {
    for (const hash of queue) await to.putSegment(hash, await from.getSegment(hash));
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, flight));
}
