import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import { runAfter } from '#lib/domain/log-run.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { Leadership } from '#lib/domain/topology.ts';
import type { ApplyLease, ApplyState, Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { ApplyOutcome, PlacedSegment, ReplicaStore } from '#lib/ports/replica-store.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';
import { type Standing, standingOf } from '#lib/usecases/control/standing.ts';

/** Entries, and records and their bytes, that one run applies at most: between two runs the position is saved. */
const RUN_ENTRIES = 32;
const RUN_RECORDS = 32_768;
const RUN_BYTES = 8 << 20;

export type ApplyDeps = {
  readonly region: RegionId;
  readonly peers: GroupPeers;
  readonly control: Control;
  /** The own store; snapshots are taken from the leader's. */
  readonly storeOf: (leader: RegionId) => ReplicaStore;
  readonly telemetry: Telemetry;
};

/** A lease taken earlier by the same process, in an epoch, with the state saved under it. */
export type Holding = { readonly lease: ApplyLease; readonly state: ApplyState; readonly epoch: Epoch };

/**
 * Applies what the own log holds beyond the applied position, until there is no more or `mayGoOn` says stop. A
 * replica without a position, or with a gap between it and its log, takes a snapshot of the leader first.
 *
 * @param held the holding that the last call in this process returned: saves taking the lease anew.
 * @returns the holding to pass next time; undefined if there is nothing to do, the lease was lost, or this
 * Region leads.
 */
export async function applyLog(
  deps: ApplyDeps,
  mayGoOn: () => boolean,
  held?: Holding,
): Promise<Holding | undefined> {
  const look = () => standingOf(deps.peers.log(deps.region), deps.control);
  const [{ leader, epoch, attached }, seen] = await Promise.all([
    deps.control.role(),
    held === undefined ? look() : undefined,
  ]);
  if (leader === deps.region || attached < epoch) return undefined;
  // Whoever takes the lease voids the one before it, so it isn't taken where there is nothing to do.
  // A new epoch may have begun with a re-attachment, which takes log and position back.
  const holding = held?.epoch === epoch ? held : undefined;
  const standing = holding === undefined ? (seen ?? (await look())) : undefined;
  if (standing !== undefined && isCurrent(standing)) return undefined;
  let known = standing?.head;
  let { lease, state } = holding ?? (await deps.control.takeLease(LANE_0));
  const store = deps.storeOf(leader);
  while (mayGoOn()) {
    const end = known ?? (await deps.peers.log(deps.region).head(LANE_0));
    known = undefined;
    const stepped = await stepSnapshot(deps, store, lease, state, { leader, epoch }, end);
    if (stepped.kind === 'lost') return lost(deps);
    const run = await nextRun(deps, store, stepped.state, end);
    const outcome = await store.apply(lease, stepped.state, run);
    if (outcome.kind === 'lost') return lost(deps);
    reportProgress(deps.telemetry, state, outcome.state);
    // What is logged beyond `end` by now comes with a hint of its own.
    const settles = run.length > 0 && outcome.state.snapshot?.phase === 'settle';
    const idle = reaches(outcome.state, end) && !isCopying(outcome.state) && !settles;
    state = outcome.state;
    if (idle) break;
  }
  return { lease, state, epoch };
}

function isCurrent({ head, state }: Standing): boolean {
  const { applied, snapshot } = state;
  return applied !== undefined && snapshot === undefined && applied.lsn === head.lastLsn;
}

/**
 * Takes the next step of a snapshot that is under way or due. It is due where there is no position yet, or where
 * the own log, which ends at `end`, no longer holds what comes after the position.
 */
async function stepSnapshot(
  deps: ApplyDeps,
  store: ReplicaStore,
  lease: ApplyLease,
  state: ApplyState,
  { leader, epoch }: Leadership,
  end: Head,
): Promise<ApplyOutcome> {
  const due = state.applied === undefined || state.applied.lsn + 1n < end.firstLsn;
  if (!due && state.snapshot === undefined) return { kind: 'applied', state };
  // By then it is whole or not by the own log alone: the leader may be lost.
  if (!due && state.snapshot?.phase === 'settle') return store.stepSnapshot(lease, state, end);
  const head = await deps.peers.log(leader).head(LANE_0);
  // Whatever comes after the copy is logged in this epoch: so its rows are newer than all that an earlier one has left here,
  // also while the log has no record of it yet.
  const at = { ...head, lastEpoch: epoch };
  return due ? store.beginSnapshot(lease, at) : store.stepSnapshot(lease, state, at);
}

async function nextRun(
  deps: ApplyDeps,
  store: ReplicaStore,
  state: ApplyState,
  end: Head,
): Promise<readonly PlacedSegment[]> {
  const position = positionOf(state);
  // A position ahead of the own log is that of a snapshot just begun: the log is still on its way.
  if (position === undefined || position >= end.lastLsn) return [];
  const log = deps.peers.log(deps.region);
  const from = advance(position, 1);
  let entries = await log.entries(LANE_0, from, RUN_ENTRIES);
  if (entries[0]?.first !== from) {
    const around = store.splitsEntries ? await log.entryAt(LANE_0, from) : undefined;
    if (around === undefined) throw noEntry(deps.region, from);
    entries = [around, ...entries];
  }
  const run: Promise<PlacedSegment>[] = [];
  let bytes = 0;
  let records = 0;
  for (const entry of entries) {
    bytes += entry.bytes;
    records += entry.count;
    if (run.length > 0 && (bytes > RUN_BYTES || records > RUN_RECORDS)) break;
    run.push(log.getSegment(entry).then((segment) => ({ entry, bytes: segment })));
  }
  return Promise.all(run);
}

function noEntry(region: RegionId, from: Lsn): UnderstudyError {
  return new UnderstudyError(
    'LOG_DIVERGED',
    `the log of ${region} has no entry that begins at LSN ${from}, right after what was applied`,
    'Compare the log with the other Regions (understudy log ls); the follower may need to be re-attached.',
  );
}

/** Up to where the store has been given the log. */
function positionOf({ applied, pending }: ApplyState): Lsn | undefined {
  return pending ?? applied?.lsn;
}

function reaches(state: ApplyState, end: Head): boolean {
  return (positionOf(state) ?? -1n) >= end.lastLsn;
}

function isCopying(state: ApplyState): boolean {
  return state.snapshot?.phase === 'copy' || state.snapshot?.phase === 'sweep';
}

function reportProgress(telemetry: Telemetry, before: ApplyState, after: ApplyState): void {
  const { applied, snapshot } = after;
  // Without a position before, it is where a copy begins: nothing was applied.
  if (applied && before.applied && applied.lsn !== before.applied.lsn) {
    telemetry.event('applied', { ...runAfter(LANE_0, applied.epoch, before.applied.lsn, applied.lsn) });
  }
  if (snapshot && snapshot.rowsCopied !== before.snapshot?.rowsCopied) {
    const { phase, rowsCopied, rowsEstimated } = snapshot;
    telemetry.event('snapshot', { phase, rowsCopied, rowsEstimated });
  }
  if (before.snapshot && !snapshot) telemetry.event('snapshot-complete', {});
}

function lost(deps: ApplyDeps): undefined {
  deps.telemetry.event('apply-lease-lost', { region: deps.region });
  return undefined;
}
