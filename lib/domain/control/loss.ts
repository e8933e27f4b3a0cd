import { type Acceptor, type BeatEnd, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/** The most that a promotion may lose. `undefined`: nobody can tell. */
export type Loss = { readonly records: number | undefined; readonly ms: number | undefined };

export const UNKNOWN: Loss = { records: undefined, ms: undefined };

/**
 * Where the leader of `epoch` said that its log ended, by the newest of its beats that these Regions have taken. Undefined
 * if so few have answered that a majority may have taken a beat of which none of them has heard.
 *
 * @param heard items of Regions other than that leader's: its own is in the majority of each of its beats, and is not told
 *   where its log ends. One that has forgotten all, or never knew anything, says nothing of what was heard.
 * @param members how many Regions the group has.
 */
export function heardEnd(heard: readonly Acceptor[], epoch: Epoch, members: number): BeatEnd | undefined {
  const knowing = heard.filter(({ accepted }) => accepted !== undefined);
  if (knowing.length <= members - majorityOf(members)) return undefined;
  const ends = heard.flatMap(({ leaderEnd }) => (leaderEnd?.epoch === epoch ? [leaderEnd.end] : []));
  return ends.toSorted(newestFirst)[0];
}

/** Where the log had not moved between two beats, the newer one grants no less. */
function newestFirst(a: BeatEnd, b: BeatEnd): number {
  if (a.lsn !== b.lsn) return a.lsn < b.lsn ? 1 : -1;
  return (b.beyond ?? Number.MAX_VALUE) - (a.beyond ?? Number.MAX_VALUE);
}

/**
 * What the lost leader is known to have logged beyond the survivors, and what it may have acknowledged beyond that: a
 * number only where its applications draw each write from the lease, and its beats say how many they may draw. Both
 * bounds hold as long as its applications keep to the lease.
 *
 * @param lost `end`: by its newest beat that was heard. `leaseEndMs`: when the last lease that it can have held was over.
 * @param survivor end of the log that goes on.
 * @param clocksMs how far the clocks of two Regions may be apart.
 */
export function lossOf(
  lost: { readonly epoch: Epoch; readonly end: BeatEnd | undefined; readonly leaseEndMs: number },
  survivor: { readonly epoch: Epoch; readonly lsn: Lsn; readonly commitMs: number },
  clocksMs: number,
): Loss {
  const { end, epoch } = lost;
  // A log that holds no record of the lost leader's epoch may have parted from its log before the epoch began: its newest
  // record, however young, says nothing of what that leader's log holds.
  if (survivor.epoch !== epoch) return { records: undefined, ms: undefined };
  const ms = Math.max(0, lost.leaseEndMs - survivor.commitMs) + clocksMs;
  if (end?.beyond === undefined) return { records: undefined, ms };
  const known = end.lsn > survivor.lsn ? Number(end.lsn - survivor.lsn) : 0;
  return { records: known + end.beyond, ms };
}
