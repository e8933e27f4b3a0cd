import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';
import { fateOf, graceIsOver, type Need, needOf, type RetentionPolicy } from '#lib/domain/retention.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { LogKeeper } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';
import { stopInTime, sweepSegments } from '#lib/usecases/sweep-segments.ts';

/** How long one Region may take to say what it needs, ms. */
const PATIENCE_MS = 5_000;
/** Entries in one page of what is looked through. */
const PAGE = 500;

export type RetainDeps = {
  readonly group: GroupConfig;
  readonly region: RegionId;
  readonly peers: {
    log(region: RegionId): Pick<ReplicaLog, 'head' | 'entries'>;
    control(region: RegionId): Pick<Control, 'role' | 'applyState'>;
  };
  readonly keeper: LogKeeper;
  readonly policy: RetentionPolicy;
  readonly clock: Clock;
  /** Resolves after `ms`. */
  readonly sleep: (ms: number) => Promise<void>;
  readonly telemetry: Telemetry;
  /** False once no further step is to be begun. */
  readonly mayGoOn: () => boolean;
};

/**
 * - done: this run has done all there was to do.
 * - waiting: this Region's log is yet to be re-attached; nothing was done.
 * - fenced: a newer epoch has sealed the log; the rest was left alone.
 */
export type Retained = 'done' | 'waiting' | 'fenced';

/**
 * Trims this Region's own log, in two phases: entries that nobody needs are unlinked through the head; a grace later
 * they are deleted, and with them the segment objects that no entry names any more, uploads that came to nothing too.
 * Any number of runs may race, and end anywhere.
 *
 * Throws RETENTION_UNFINISHED if it has to stop before it is through.
 */
export async function retain(deps: RetainDeps): Promise<Retained> {
  const { region, peers, telemetry } = deps;
  const { epoch, attached } = await peers.control(region).role();
  if (attached < epoch) return 'waiting';
  if ((await dropEntries(deps, epoch)) === 'fenced') return 'fenced';
  if ((await unlinkEntries(deps, epoch)) === 'fenced') return 'fenced';
  const swept = await sweepSegments({ ...deps, log: peers.log(region) }, epoch);
  if (swept === 'fenced') return 'fenced';
  telemetry.event('swept', { segments: swept });
  return 'done';
}

/** The second phase, for what an earlier run has unlinked. */
async function dropEntries(deps: RetainDeps, epoch: Epoch): Promise<'done' | 'fenced'> {
  const { clock, keeper, peers, policy, region, telemetry } = deps;
  const head = await peers.log(region).head(LANE_0);
  if (!graceIsOver(head, policy, clock.now())) return 'done';
  let entries = 0;
  for (;;) {
    stopInTime(deps);
    const dropped = await keeper.dropEntries(LANE_0, head.firstLsn, epoch);
    if (dropped.kind === 'fenced') return 'fenced';
    // Started over further back: those entries are new ones.
    if (dropped.kind === 'moved' || dropped.count === 0) break;
    entries += dropped.count;
  }
  if (entries > 0) telemetry.event('entries-deleted', { entries, before: `${head.firstLsn}` });
  return 'done';
}

/** The first phase: raises where the log begins, once all that was unlinked before is gone. */
async function unlinkEntries(deps: RetainDeps, epoch: Epoch): Promise<'done' | 'fenced'> {
  const { clock, keeper, peers, region, telemetry } = deps;
  const log = peers.log(region);
  const head = await log.head(LANE_0);
  const [oldest] = await log.entries(LANE_0, LSN_ZERO, 1);
  if (oldest === undefined || oldest.first < head.firstLsn) return 'done';
  const needs = await Promise.all(deps.group.regions.map(({ name }) => askFor(deps, name, epoch)));
  const { next, overdue } = await firstToKeep(deps, head, needs);
  if (next === undefined || next.first <= head.firstLsn) return 'done';
  const outcome = await keeper.unlink(LANE_0, head, next, epoch, clock.now());
  if (outcome.kind !== 'kept') return outcome.kind === 'fenced' ? 'fenced' : 'done';
  telemetry.event('entries-unlinked', { before: `${next.first}` });
  // Never silently: these have no way on but a new snapshot.
  for (const { region: behind, lsn, why } of needs.filter((each) => overdue > 0n && each.lsn <= overdue)) {
    telemetry.event('FOLLOWER_BEHIND_RETENTION', {
      behind,
      ...(why === undefined ? { lsn: `${lsn}` } : { why }),
      retainedFrom: `${next.first}`,
    });
  }
  return 'done';
}

/** The first entry that stays, and the LSN up to which entries go although somebody needs them. */
async function firstToKeep(
  deps: RetainDeps,
  head: Head,
  needs: readonly Need[],
): Promise<{ readonly next: Entry | undefined; readonly overdue: Lsn }> {
  const { clock, peers, policy, region } = deps;
  let overdue: Lsn = LSN_ZERO;
  for (let from = head.firstLsn; ; ) {
    stopInTime(deps);
    const page = await peers.log(region).entries(LANE_0, from, PAGE);
    for (const entry of page) {
      const fate = fateOf(entry, head, needs, policy, clock.now());
      if (fate === 'keep') return { next: entry, overdue };
      if (fate === 'overdue') overdue = lastOf(entry);
    }
    const last = page.at(-1);
    if (last === undefined) return { next: undefined, overdue };
    from = advance(lastOf(last), 1);
  }
}

/** What a replica needs; all there is, where it does not say so in time. */
async function askFor(deps: RetainDeps, name: RegionId, epoch: Epoch): Promise<Need> {
  const { peers, sleep, telemetry } = deps;
  const answer = async () => {
    const [head, role, { applied }] = await Promise.all([
      peers.log(name).head(LANE_0),
      peers.control(name).role(),
      peers.control(name).applyState(LANE_0),
    ]);
    return { head, role, ...(applied && { applied: applied.lsn }) };
  };
  const late = sleep(PATIENCE_MS).then(() => {
    throw new Error(`no answer in ${PATIENCE_MS} ms`);
  });
  try {
    return needOf(name, epoch, await Promise.race([answer(), late]));
  } catch (error) {
    telemetry.event('need-unknown', { of: name, why: String(error) });
    return needOf(name, epoch);
  }
}
