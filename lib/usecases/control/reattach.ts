import { type DivergentChange, encodeReport } from '#lib/domain/control/divergence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { ApplyLease, Control } from '#lib/ports/control.ts';
import type { Divergences, Rewinder } from '#lib/ports/divergences.ts';
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
 * - collecting: local changes that no log took are still on their way out of the stream; call again.
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
  const { head } = await own.seal(LANE_0, role.epoch);
  const led = role.led;
  if (led !== undefined && !(await isCollected(deps, led, since)))
    return { kind: 'collecting', divergent: 0 };

  const leader = deps.log(role.leader);
  const common = await commonPrefix(own, leader, head);
  // Where they part is not known: all that is still here counts as divergent.
  const upTo = common.kind === 'found' ? common.upTo : advance(head.firstLsn, -1);
  const tail = await tailOf(deps, own, upTo);
  const changes = [...tail, ...(led === undefined ? [] : await collectedOf(deps, own, led))];
  const tailEpoch = led ?? head.lastEpoch;
  if (changes.length > 0) await save(deps, own, tailEpoch, changes);

  const { lease, state } = await control.takeLease(LANE_0);
  const applied = state.applied?.lsn;
  // A leader's store has all of its own changes; a follower's has those that it had applied.
  const stored = led === undefined ? changes.filter(({ lsn }) => (lsn ?? 0n) <= (applied ?? 0n)) : changes;
  const onward = common.kind === 'found' ? await leader.entryAt(LANE_0, advance(common.upTo, 1)) : undefined;
  // What is put back is stamped with the tail's epoch: what follows must come after that.
  const canGoBack = stored.length === 0 || onward === undefined || onward.epoch > head.lastEpoch;
  if (common.kind === 'found' && canGoBack) {
    const rewound = await takeBack(deps, own, {
      head,
      lease,
      stored,
      entry: common.entry,
      led: led !== undefined,
    });
    if (rewound === 'lost') return { kind: 'collecting', divergent: changes.length };
    await control.attach(role.epoch);
    telemetry.event('reattached', { epoch: role.epoch, lsn: `${common.upTo}`, divergent: changes.length });
    return { kind: 'attached', divergent: changes.length };
  }
  await own.rebase(LANE_0, head, await leader.head(LANE_0));
  await control.saveApplyState(lease, {});
  await control.attach(role.epoch);
  telemetry.event('rebuilding', { epoch: role.epoch, divergent: changes.length });
  return { kind: 'rebuilding', divergent: changes.length };
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

/** The changes that the own log has after `upTo`. */
async function tailOf(deps: ReattachDeps, own: ReplicaLog, upTo: Lsn): Promise<readonly DivergentChange[]> {
  const changes: DivergentChange[] = [];
  for (let from = advance(upTo, 1); ; ) {
    const entries = await own.entries(LANE_0, from, 50);
    for (const entry of entries) changes.push(...deps.rewinder.read(await own.getSegment(entry.hash), entry));
    const last = entries.at(-1);
    if (last === undefined) return changes;
    from = advance(lastOf(last), 1);
  }
}

/** The changes that no log took, once each, in the order in which they were made. */
async function collectedOf(
  deps: ReattachDeps,
  own: ReplicaLog,
  led: Epoch,
): Promise<readonly DivergentChange[]> {
  const divergence = await deps.divergences.of(led);
  const changes = new Map<string, DivergentChange>();
  for (const hash of divergence?.collected ?? []) {
    for (const change of deps.rewinder.read(await own.getSegment(hash))) {
      changes.set(`${change.shard} ${change.sequence}`, change);
    }
  }
  return [...changes.values()].toSorted((a, b) => (BigInt(a.sequence) < BigInt(b.sequence) ? -1 : 1));
}

async function save(
  deps: ReattachDeps,
  own: ReplicaLog,
  epoch: Epoch,
  changes: readonly DivergentChange[],
): Promise<void> {
  const { bytes, hash } = encodeReport(changes);
  await own.putSegment(hash, bytes);
  const keys = new Set(changes.map(({ keyBytes }) => Buffer.from(keyBytes).toString('latin1'))).size;
  await deps.divergences.save(epoch, {
    hash,
    changes: changes.length,
    keys,
    savedAtMs: deps.clock.now(),
  });
  deps.telemetry.event('divergence-saved', { epoch, changes: changes.length, keys, report: hash });
}

/** Store first, then position, then log: until the log is back, another call finds the same tail and does it again. */
async function takeBack(
  deps: ReattachDeps,
  own: ReplicaLog,
  to: {
    readonly head: Head;
    readonly lease: ApplyLease;
    readonly stored: readonly DivergentChange[];
    readonly entry: Entry | undefined;
    readonly led: boolean;
  },
): Promise<'done' | 'lost'> {
  const { head, lease, stored, entry, led } = to;
  if (stored.length > 0) {
    // Above whatever the tail wrote, below the first record that follows: its epoch is higher than the tail's.
    const at = { epoch: head.lastEpoch, lsn: advance(head.lastLsn, 1) };
    if ((await deps.rewinder.rewind(lease, stored, at)) === 'lost') return 'lost';
  }
  if (entry === undefined) return 'done';
  if (led || stored.length > 0) {
    const applied = {
      lsn: lastOf(entry),
      epoch: entry.epoch,
      totalBytes: entry.totalBytes,
      commitMs: entry.maxCommitMs,
    };
    if ((await deps.control.saveApplyState(lease, { applied })) === 'lost') return 'lost';
  }
  await own.rewind(LANE_0, head, entry);
  return 'done';
}
