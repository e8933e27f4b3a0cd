import { type DivergentChange, encodeReport } from '#lib/domain/control/divergence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { ApplyState, Control, Rewound } from '#lib/ports/control.ts';
import type { DivergenceReport, Divergences, Rewinder } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { WritePath } from '#lib/ports/sentinel-ports.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';

/**
 * How far the changes that were collected must reach beyond the moment at which the re-attachment began, ms: a stream
 * tells commit times in whole seconds, and two clocks of a Region may differ.
 */
const COLLECT_MS = 2_000;

export type ReattachDeps = {
  readonly region: RegionId;
  readonly log: (region: RegionId) => ReplicaLog;
  readonly control: Control;
  readonly divergences: Divergences;
  readonly rewinder: Rewinder;
  readonly writePath: WritePath;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
};

/**
 * - attached: this Region's log and store are a prefix of the leader's; it follows from now on.
 * - collecting: local changes that no log took are still on their way out of the stream, or another epoch has begun; call again.
 * - rebuilding: the way back is not known, so that the store takes a new snapshot; it follows from now on.
 */
export type Reattached = {
  readonly kind: 'attached' | 'collecting' | 'rebuilding';
  /** Changes that this Region had and the group has not: all of them are in the saved report. */
  readonly divergent: number;
};

/**
 * Takes a Region back in that has led an earlier epoch, or that was away when one began: finds the common prefix of
 * its log and the leader's, saves what it has beyond it, takes its store and log back to it, and lets it follow.
 * Nothing is changed before the report is saved. Can be called again after a crash anywhere.
 *
 * @param since when this Region began to be re-attached, Unix ms; the same in each call for an epoch.
 */
export async function reattach(deps: ReattachDeps, since: number): Promise<Reattached> {
  const { control, region, telemetry } = deps;
  const role = await control.role();
  if (role.leader === region || role.attached === role.epoch) return { kind: 'attached', divergent: 0 };
  const own = deps.log(region);
  const { head, kind } = await own.seal(LANE_0, role.epoch);
  // A later epoch has begun: its election goes by what this log holds, and its leader is the one to compare with.
  if (kind === 'superseded') return { kind: 'collecting', divergent: 0 };
  const led = role.led;
  if (led !== undefined && !(await isCollected(deps, led, since)))
    return { kind: 'collecting', divergent: 0 };

  const leader = deps.log(role.leader);
  const common = await commonPrefix(own, leader, head);
  const saved = (await deps.divergences.of(led ?? head.lastEpoch))?.report;
  // An earlier call broke off after that. What diverged can't be told any more from a log that may be back by now.
  const back =
    saved?.takenBack === role.epoch
      ? { divergent: saved.changes, rebuilding: common.kind === 'unknown' }
      : await takeBack(deps, role, { own, leader, head, common, saved });
  if (back === 'lost') return { kind: 'collecting', divergent: 0 };
  const { divergent, rebuilding } = back;

  // Refused if somebody has sealed or moved the log meanwhile.
  if (!(await moveLog(own, leader, head, common))) return { kind: 'collecting', divergent };
  await control.attach(role.epoch);
  telemetry.event(rebuilding ? 'rebuilding' : 'reattached', { epoch: role.epoch, divergent });
  return { kind: rebuilding ? 'rebuilding' : 'attached', divergent };
}

/** True once every local change made before `since` has come out of the stream: a mark made after it has. */
async function isCollected(deps: ReattachDeps, led: Epoch, since: number): Promise<boolean> {
  const divergence = await deps.divergences.of(led);
  if ((divergence?.newestMs ?? 0) >= since + COLLECT_MS) return true;
  await deps.writePath.canary(deps.region);
  return false;
}

type Common =
  /** `entry` is absent where the own log is empty. */
  | { readonly kind: 'found'; readonly upTo: Lsn; readonly entry?: Entry }
  /** The logs have nothing in common, or one no longer reaches back to where they part. */
  | { readonly kind: 'unknown' };

/** The end of what two logs have in common: entries are copied whole, so the chains agree up to one of them. */
async function commonPrefix(own: ReplicaLog, leader: ReplicaLog, head: Head): Promise<Common> {
  let at = head.lastLsn;
  while (at >= head.firstLsn && at > 0n) {
    const [mine, theirs] = await Promise.all([own.entryAt(LANE_0, at), leader.entryAt(LANE_0, at)]);
    if (mine === undefined) return { kind: 'unknown' };
    if (theirs?.chain === mine.chain) return { kind: 'found', upTo: lastOf(mine), entry: mine };
    at = advance(mine.first, -1);
  }
  return head.lastLsn === 0n ? { kind: 'found', upTo: head.lastLsn } : { kind: 'unknown' };
}

/** The changes that the own log has after `upTo`, up to `head`: what comes later was pushed by the leader. */
async function tailOf(
  deps: ReattachDeps,
  own: ReplicaLog,
  upTo: Lsn,
  head: Head,
): Promise<readonly DivergentChange[]> {
  const changes: DivergentChange[] = [];
  for (let from = advance(upTo, 1); from <= head.lastLsn; ) {
    const entries = (await own.entries(LANE_0, from, 50)).filter(({ first }) => first <= head.lastLsn);
    for (const entry of entries) changes.push(...deps.rewinder.read(await own.getSegment(entry.hash), entry));
    const last = entries.at(-1);
    if (last === undefined) break;
    from = advance(lastOf(last), 1);
  }
  return changes;
}

/** The changes that no log took, once each, in the order in which they were made. */
async function collectedOf(deps: ReattachDeps, led: Epoch): Promise<readonly DivergentChange[]> {
  const divergence = await deps.divergences.of(led);
  const changes = new Map<string, DivergentChange>();
  for (const hash of divergence?.collected ?? []) {
    for (const change of deps.rewinder.read(await deps.divergences.get(hash))) {
      changes.set(`${change.shard} ${change.sequence}`, change);
    }
  }
  return [...changes.values()].toSorted((a, b) => (BigInt(a.sequence) < BigInt(b.sequence) ? -1 : 1));
}

async function save(
  deps: ReattachDeps,
  epoch: Epoch,
  changes: readonly DivergentChange[],
  saved: DivergenceReport | undefined,
): Promise<DivergenceReport> {
  const before = saved && (await deps.divergences.get(saved.hash));
  const { bytes, ...told } = encodeReport(changes, before);
  await deps.divergences.put(told.hash, bytes);
  const takenBack = saved?.takenBack === undefined ? {} : { takenBack: saved.takenBack };
  const report = { ...told, savedAtMs: deps.clock.now(), ...takenBack };
  await deps.divergences.save(epoch, report);
  deps.telemetry.event('divergence-saved', {
    epoch,
    changes: told.changes,
    keys: told.keys,
    report: told.hash,
  });
  return report;
}

/**
 * Report first, then store, then position, then the mark that they are done; the log comes last. Until the mark is
 * made, another call finds the same tail and does it all again.
 */
async function takeBack(
  deps: ReattachDeps,
  { led, epoch }: Role,
  at: {
    readonly own: ReplicaLog;
    readonly leader: ReplicaLog;
    readonly head: Head;
    readonly common: Common;
    /** By an earlier call, for this epoch or one before it. */
    readonly saved: DivergenceReport | undefined;
  },
): Promise<{ readonly divergent: number; readonly rebuilding: boolean } | 'lost'> {
  const { own, head, common, saved } = at;
  const { control, divergences, rewinder } = deps;
  // Where they part is not known: all that is still here counts as divergent.
  const upTo = common.kind === 'found' ? common.upTo : advance(head.firstLsn, -1);
  const tail = await tailOf(deps, own, upTo, head);
  const changes = [...tail, ...(led === undefined ? [] : await collectedOf(deps, led))];
  const tailEpoch = led ?? head.lastEpoch;
  const report = changes.length > 0 ? await save(deps, tailEpoch, changes, saved) : undefined;

  const { lease, state } = await control.takeLease(LANE_0);
  // A process that slept: the store is another epoch's by now. Whoever takes the lease from here on finds what was begun.
  const now = await control.role();
  if (now.epoch !== epoch || now.attached === epoch) return 'lost';
  const appliedLsn = state.applied?.lsn ?? 0n;
  // A leader's store has all of its own changes; a follower's has those that it had applied.
  const stored = led === undefined ? changes.filter(({ lsn }) => (lsn ?? 0n) <= appliedLsn) : changes;
  // What an earlier call has left to a new copy, in an epoch that was over before this Region could follow it, still
  // holds its tail, even if the log is back by now.
  const isLeftToCopy = saved?.takenBack !== undefined && state.applied === undefined;
  const rebuilding =
    isLeftToCopy ||
    // It is of another leader's store, and has rows that no log has.
    state.snapshot !== undefined ||
    common.kind === 'unknown' ||
    !(await followsOn(at, common.upTo, state, stored.length > 0 ? head.lastEpoch : undefined));
  let position: ApplyState | undefined;
  let { rewound } = state;
  if (rebuilding) {
    // It begins anew, as there is no position. Why stays noted, so that another call knows that the store is not whole:
    // without changes there is no report to say so.
    const { snapshot } = state;
    position = { ...(snapshot && { snapshot }), ...(rewound && { rewound }) };
  } else {
    if (stored.length > 0) {
      rewound = { to: upTo, ...stampAbove(head, rewound) };
      // Noted first: should this leader be gone before the rest is done, the next one finds a store that may be half-way.
      if ((await control.noteRewound(lease, rewound)) === 'lost') return 'lost';
      if ((await rewinder.rewind(lease, stored, rewound)) === 'lost') return 'lost';
    }
    // Also where it has applied no more than heartbeats of the tail, which are no changes.
    if (led !== undefined || appliedLsn > upTo) position = await positionAt(own, common.entry, led);
    position &&= { ...position, ...(rewound && { rewound }) };
  }
  if (position !== undefined && (await control.saveApplyState(lease, position)) === 'lost') return 'lost';
  if (report !== undefined) await divergences.save(tailEpoch, { ...report, takenBack: epoch });
  return { divergent: changes.length, rebuilding };
}

/**
 * Do the records that the store lacks go on top of all that its rows are stamped with? Not where it was taken back for an
 * earlier leader, and this one's log holds what was put back then: the rows would refuse it.
 *
 * @param tailEpoch of the stamps that rows are to be put back with.
 */
async function followsOn(
  { own, leader }: { readonly own: ReplicaLog; readonly leader: ReplicaLog },
  upTo: Lsn,
  { applied, rewound }: ApplyState,
  tailEpoch: Epoch | undefined,
): Promise<boolean> {
  const stamped = Math.max(tailEpoch ?? 0, rewound?.epoch ?? 0);
  const isBehind = rewound !== undefined && rewound.to < upTo && (applied?.epoch ?? 0) <= rewound.epoch;
  const from = isBehind ? rewound.to : upTo;
  const next = await (isBehind ? own : leader).entryAt(LANE_0, advance(from, 1));
  return next === undefined ? !isBehind : stamped === 0 || next.epoch > stamped;
}

/** Above whatever the tail wrote or an earlier call put back, below the first record that follows: its epoch is higher. */
function stampAbove(
  { lastEpoch, lastLsn }: Head,
  rewound: Rewound | undefined,
): Pick<Rewound, 'epoch' | 'lsn'> {
  const isHigher =
    rewound !== undefined &&
    (rewound.epoch > lastEpoch || (rewound.epoch === lastEpoch && rewound.lsn > lastLsn));
  const { epoch, lsn } = isHigher ? rewound : { epoch: lastEpoch, lsn: lastLsn };
  return { epoch, lsn: advance(lsn, 1) };
}

/** What a store has applied that was taken back to the end of `entry`; undefined if it has applied nothing of the log. */
async function positionAt(
  own: ReplicaLog,
  entry: Entry | undefined,
  led: Epoch | undefined,
): Promise<ApplyState | undefined> {
  if (entry === undefined) return undefined;
  // What this Region has logged itself its store has; what another leader's log has brought since it has not.
  const at = led === undefined ? entry : await endOf(own, entry, led);
  if (at === undefined) return undefined;
  const { epoch, totalBytes, maxCommitMs } = at;
  return { applied: { lsn: lastOf(at), epoch, totalBytes, commitMs: maxCommitMs } };
}

/** Takes the log back to what it has in common with the leader's, or on to the leader's end; false if it has moved. */
async function moveLog(own: ReplicaLog, leader: ReplicaLog, head: Head, common: Common): Promise<boolean> {
  if (common.kind === 'unknown') {
    const onto = await leader.head(LANE_0);
    return (await own.rebase(LANE_0, head, onto)).chain === onto.chain;
  }
  const { entry } = common;
  if (entry === undefined) return true;
  const now = await own.rewind(LANE_0, head, entry);
  // Where there was nothing to take back, the leader may have pushed what comes next meanwhile.
  const onward = lastOf(entry) === head.lastLsn && now.sealedEpoch === head.sealedEpoch;
  return onward || now.chain === entry.chain;
}

/** The newest entry of `epoch` or an earlier one, from `entry` back. */
async function endOf(own: ReplicaLog, entry: Entry, epoch: Epoch): Promise<Entry | undefined> {
  let at: Entry | undefined = entry;
  while (at !== undefined && at.epoch > epoch) at = await own.entryAt(LANE_0, advance(at.first, -1));
  return at;
}
