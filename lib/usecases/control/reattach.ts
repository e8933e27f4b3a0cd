import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Divergences, WayBack } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { WritePath } from '#lib/ports/sentinel-ports.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';
import type { Common } from '#lib/usecases/control/parted-logs.ts';
import { takeBack } from '#lib/usecases/control/take-back.ts';

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
  readonly rewinder: WayBack;
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
