import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { ApplyState, Rewound } from '#lib/ports/control.ts';
import type { DivergenceReport, Rewinder } from '#lib/ports/divergences.ts';
import { collectedOf, saveReport, tailOf } from '#lib/usecases/control/divergent-tail.ts';
import { endOf, type Held, type Logs, type Parted, positionAt } from '#lib/usecases/control/parted-logs.ts';
import type { ReattachDeps } from '#lib/usecases/control/reattach.ts';
import { takeOver, tornOf } from '#lib/usecases/control/take-over.ts';
/**
 * Report first, then store, then position, then the mark that they are done; the log comes last. Until the mark is
 * made, another call finds the same tail and does it all again.
 *
 * @param saved by an earlier call, for this epoch or one before it.
 */
export async function takeBack(
  deps: ReattachDeps,
  role: Role,
  at: Logs & { readonly saved: DivergenceReport | undefined },
): Promise<{ readonly divergent: number; readonly rebuilding: boolean } | 'lost'> {
  const { own, head, common, saved } = at;
  const { control, divergences, rewinder } = deps;
  const { epoch, led } = role;
  // Where they part is not known: all that is still here counts as divergent.
  const upTo = common.kind === 'found' ? common.upTo : advance(head.firstLsn, -1);
  const tail = await tailOf(deps, own, upTo, head);
  const torn = 'takeOver' in rewinder ? await tornOf(rewinder, at, led) : [];
  const changes = [...torn, ...tail, ...(led === undefined ? [] : await collectedOf(deps, led))];
  const tailEpoch = led ?? head.lastEpoch;
  const report = changes.length > 0 ? await saveReport(deps, tailEpoch, changes, saved) : undefined;

  const { lease, state } = await control.takeLease(LANE_0);
  // A process that slept: the store is another epoch's by now. Whoever takes the lease from here on finds what was begun.
  const isDue = async () => {
    const now = await control.role();
    return now.epoch === epoch && now.attached !== epoch;
  };
  if (!(await isDue())) return 'lost';
  // What an earlier call has left to a new copy, in an epoch that was over before this Region could follow it, still
  // holds its tail, even if the log is back by now. A copy under way is of another leader's store, and has rows that no
  // log has.
  const isLost =
    (saved?.takenBack !== undefined && state.applied === undefined) ||
    state.snapshot !== undefined ||
    common.kind === 'unknown';
  const isAhead = led === undefined && (state.applied?.lsn ?? 0n) > head.lastLsn;
  const back = isLost
    ? 'unknown'
    : isAhead
      ? await keepCopy(at, state)
      : 'takeOver' in rewinder
        ? await takeOver({ rewinder, isDue }, role, { ...at, common }, { lease, state }, changes)
        : await putBack({ control, rewinder }, role, { ...at, common }, { lease, state }, changes);
  if (back === 'lost') return 'lost';
  if (back === 'unknown') {
    // It begins anew, as there is no position. Why stays noted, so that another call knows that the store is not whole:
    // without changes there is no report to say so.
    const { rewound, snapshot } = state;
    const nowhere = { ...(snapshot && { snapshot }), ...(rewound && { rewound }) };
    if ((await control.saveApplyState(lease, nowhere)) === 'lost') return 'lost';
  }
  if (report !== undefined) await divergences.save(tailEpoch, { ...report, takenBack: epoch });
  return { divergent: changes.length, rebuilding: back === 'unknown' };
}

/**
 * A store that was copied has rows that its own log is yet to get. They stay where the leader's log has them, too, and the
 * store then waits for its log; nothing of a tail that its log may have is in it.
 */
async function keepCopy({ leader }: Logs, { applied }: ApplyState): Promise<'done' | 'unknown'> {
  // An epoch has one log: where it has reached an LSN, it is that record.
  const theirs = await leader.entryAt(LANE_0, applied!.lsn);
  return theirs?.epoch === applied!.epoch ? 'done' : 'unknown';
}

/** Rows that bear stamps are put back one by one, then the position. */
async function putBack(
  { control, rewinder }: Pick<ReattachDeps, 'control'> & { readonly rewinder: Rewinder },
  { led }: Role,
  at: Parted,
  { lease, state }: Held,
  changes: readonly DivergentChange[],
): Promise<'done' | 'lost' | 'unknown'> {
  const appliedLsn = state.applied?.lsn ?? 0n;
  const end = await logged(at, led);
  // A leader's store has what it has logged itself and what no log took; a follower's what it had applied.
  const hasLsn = led === undefined ? appliedLsn : end.lsn;
  const stored = changes.filter(({ lsn }) => (lsn ?? 0n) <= hasLsn);
  const hasTail = end.lsn > at.common.upTo;
  const to = hasTail ? at.common.upTo : end.lsn;
  if (!(await followsOn(at, to, state, stored.length > 0 ? end.epoch : undefined))) return 'unknown';
  let { rewound } = state;
  if (stored.length > 0) {
    rewound = { to, ...stampAbove(end, rewound) };
    // Noted first: should this leader be gone before the rest is done, the next one finds a store that may be half-way.
    if ((await control.noteRewound(lease, rewound)) === 'lost') return 'lost';
    if ((await rewinder.rewind(lease, stored, rewound)) === 'lost') return 'lost';
  }
  // Also where it has applied no more than heartbeats of the tail, which are no changes.
  const position =
    led !== undefined || appliedLsn > to ? await positionAt(at.own, at.common.entry, led) : undefined;
  if (position === undefined) return 'done';
  const saved = await control.saveApplyState(lease, { ...position, ...(rewound && { rewound }) });
  return saved === 'saved' ? 'done' : 'lost';
}

/** A place in a log. */
type Place = { readonly epoch: Epoch; readonly lsn: Lsn };

/**
 * How far the own log can be in the store: that of a leader has nothing of the later epochs, whose leaders have written on
 * top of what this one has logged.
 */
async function logged({ own, head }: Logs, led: Epoch | undefined): Promise<Place> {
  const whole = { epoch: head.lastEpoch, lsn: head.lastLsn };
  if (led === undefined || head.lastEpoch <= led) return whole;
  const newest = await own.entryAt(LANE_0, head.lastLsn);
  const end = newest && (await endOf(own, newest, led));
  return end === undefined ? whole : { epoch: end.epoch, lsn: lastOf(end) };
}

/**
 * Do the records that the store lacks go on top of all that its rows are stamped with? Not where it was taken back for an
 * earlier leader, and this one's log holds what was put back then: the rows would refuse it.
 *
 * @param to where the store is to be taken back to, in what the logs have in common.
 * @param tailEpoch of the stamps that rows are to be put back with.
 */
async function followsOn(
  { own, leader, common }: Parted,
  to: Lsn,
  { applied, rewound }: ApplyState,
  tailEpoch: Epoch | undefined,
): Promise<boolean> {
  const stamped = Math.max(tailEpoch ?? 0, rewound?.epoch ?? 0);
  const isBehind = rewound !== undefined && rewound.to < to && (applied?.epoch ?? 0) <= rewound.epoch;
  const from = isBehind ? rewound.to : to;
  const isOwn = from < common.upTo;
  const next = await (isOwn ? own : leader).entryAt(LANE_0, advance(from, 1));
  return next === undefined ? !isOwn : stamped === 0 || next.epoch > stamped;
}

/** Above whatever the tail wrote or an earlier call put back, below the first record that follows: its epoch is higher. */
function stampAbove(end: Place, rewound: Rewound | undefined): Place {
  const isHigher =
    rewound !== undefined &&
    (rewound.epoch > end.epoch || (rewound.epoch === end.epoch && rewound.lsn > end.lsn));
  const { epoch, lsn } = isHigher ? rewound : end;
  return { epoch, lsn: advance(lsn, 1) };
}
