import type { LaneId } from '#lib/domain/ids.ts';
import { type Entry, type Head, keeping } from '#lib/domain/log.ts';
import { type LogRun, runAfter } from '#lib/domain/log-run.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import { MAX_APPEND, type ReplicaLog } from '#lib/ports/replica-log.ts';
import type { LogReader } from '#lib/usecases/remember-segments.ts';

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

/** What a log line says of the records that a relay has carried. */
export function runOf(lane: LaneId, { head, records }: Relayed): LogRun {
  return runAfter(lane, head.lastEpoch, head.lastLsn - BigInt(records), head.lastLsn);
}

/** What a log line says of where the receiving log ends. */
export function endOf(
  lane: LaneId,
  { head }: Relayed,
): { readonly lane: LaneId; readonly epoch: Epoch; readonly lsn: string } {
  return { lane, epoch: head.lastEpoch, lsn: `${head.lastLsn}` };
}

/** What a relay needs of the log that it copies to. */
export type LogWriter = Pick<ReplicaLog, 'head' | 'putSegment' | 'append'>;

/**
 * Brings `to` up to `from`: copies segments, then appends their entries, as they are. One function, run by the
 * sending Region (push) or the receiving one (pull), as often as anybody likes.
 *
 * @param known the receiving head as last seen; saves a round trip, and may be stale.
 * @param authority the epoch in whose name the entries are appended.
 */
export async function relay(
  from: LogReader,
  to: LogWriter,
  lane: LaneId,
  authority: Epoch,
  known?: Head,
): Promise<Relayed> {
  let head = known ?? (await to.head(lane));
  let records = 0;
  for (;;) {
    const { entries, more } = await nextRun(from, lane, head);
    const first = entries[0];
    const follows = first?.first === head.lastLsn + 1n;
    if (!follows || first.prev !== head.chain) {
      const end = follows ? ({ kind: 'diverged' } as const) : await compare(from, lane, head);
      if (end === 'raced') continue;
      if (end.kind === 'current') return { ...end, head, records };
      // No verdict by a head that has moved since it was seen, also by a process that slept meanwhile.
      const now = await to.head(lane);
      if (now.lastLsn === head.lastLsn && now.chain === head.chain) return { ...end, head: now, records };
      head = now;
      continue;
    }

    const copied = await copySegments(from, to, entries, head);
    const outcome = await to.append(lane, head, copied, authority);
    if (outcome.kind === 'fenced') return { kind: 'fenced', head: outcome.head, records };
    // A stale head costs one turn; whoever moved it has done part of the work.
    head = outcome.head;
    if (outcome.kind === 'appended' && !outcome.again) {
      records += entries.reduce((sum, { count }) => sum + count, 0);
      // That was all there was. What has been logged meanwhile comes with a hint of its own.
      if (!more && entries.at(-1)?.chain === head.chain) {
        return { kind: 'current', head, records };
      }
    }
  }
}

/** What the next append carries, and whether there is more behind it. */
async function nextRun(
  from: LogReader,
  lane: LaneId,
  head: Head,
): Promise<{ entries: readonly Entry[]; more: boolean }> {
  const entries = await from.entries(lane, advance(head.lastLsn, 1), MAX_APPEND);
  let bytes = 0;
  const end = entries.findIndex((entry, index) => {
    bytes += entry.bytes;
    return index > 0 && bytes > MAX_BYTES;
  });
  return end === -1
    ? { entries, more: entries.length === MAX_APPEND }
    : { entries: entries.slice(0, end), more: true };
}

/** How the logs stand where `from` has no entry that begins right after `head`. */
async function compare(
  from: LogReader,
  lane: LaneId,
  head: Head,
): Promise<Pick<Relayed, 'kind' | 'from'> | 'raced'> {
  const sender = await from.head(lane);
  if (head.lastLsn + 1n < sender.firstLsn) return { kind: 'behind', from: sender };
  if (sender.lastLsn < head.lastLsn) return { kind: 'ahead', from: sender };
  if (sender.lastLsn === head.lastLsn) {
    return { kind: sender.chain === head.chain ? 'current' : 'diverged', from: sender };
  }
  const next = await from.entryAt(lane, advance(head.lastLsn, 1));
  return next?.first === head.lastLsn + 1n ? 'raced' : { kind: 'diverged', from: sender };
}

/** Puts the segments of `entries`, and returns the entries as the receiving log is to hold them. */
async function copySegments(
  from: LogReader,
  to: LogWriter,
  entries: readonly Entry[],
  head: Head,
): Promise<readonly Entry[]> {
  const small = new Map<string, Uint8Array>();
  const queue = new Map(entries.map((entry) => [entry.hash, entry])).values();
  const flight = async () => {
    for (const entry of queue) {
      const bytes = await from.getSegment(entry);
      if ((await to.putSegment(entry.hash, bytes, head)) === 'small') small.set(entry.hash, bytes);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, flight));
  return entries.map((entry) => keeping(entry, small.get(entry.hash)));
}
