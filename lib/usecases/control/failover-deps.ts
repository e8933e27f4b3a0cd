import { type Acceptor, type Beat, type Consent, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { Rungs } from '#lib/domain/control/fence.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch } from '#lib/domain/lsn.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';
import type { Control } from '#lib/ports/control.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';
import type { History } from '#lib/ports/history.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ReplicaStore } from '#lib/ports/replica-store.ts';
import type { EngineFence, HostFence, WritePath } from '#lib/ports/sentinel-ports.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';
import { type RegisterDeps, readRegister } from '#lib/usecases/control/change-register.ts';
import { detailOf, findingsOf } from '#lib/usecases/control/decision-lines.ts';
import { type Answers, gather } from '#lib/usecases/control/gather.ts';

/** What the steps of a failover work with. `region` is the coordinator's. */
export type FailoverDeps = RegisterDeps & {
  readonly group: GroupConfig;
  readonly profile: Profile;
  readonly clock: Clock;
  readonly peers: {
    log(region: RegionId): ReplicaLog;
    control(region: RegionId): Control;
  };
  /** The store of `region`, which takes snapshots, if any, from `leader`'s. */
  readonly storeOf: (region: RegionId, leader: RegionId) => ReplicaStore;
  readonly writePath: WritePath;
  readonly stream: ChangeStream;
  readonly fenceOf: (region: RegionId) => EngineFence;
  /** What the user has to fence the hosts of a Region with. */
  readonly hostFence?: HostFence;
  /** The record that a failover changes; absent where health checks choose the answer, or where there is no DNS. */
  readonly record?: LeaderRecord;
  /** Where DNS is asked for the clients' name; absent where there is none. */
  readonly vantages?: DnsVantages;
  /** What DNS names while `region` leads. */
  readonly targetOf: (region: RegionId) => string;
  /** A leader without a lease goes on writing, so that nobody can tell what is lost with it. */
  readonly continues?: boolean;
  readonly rules: {
    readonly priorityOf: (region: RegionId) => number;
    readonly noFailover: (region: RegionId) => boolean;
  };
  /** The alarms of a Region. They are asked for where they help, and never waited for longer than a moment. */
  readonly alarmsOf: (region: RegionId) => AlarmStates;
  readonly history: History;
  readonly telemetry: Telemetry;
};

/** How long a step waits for a Region that does not answer, ms. */
export const PATIENCE_MS = 700;

/** What the steps know of each other: the state document of the workflow. */
export type FailoverState = {
  readonly input: FailoverInput;
  readonly yield?: YieldResult;
  readonly claim?: ClaimResult;
  readonly fence?: FenceResult;
  readonly elect?: ElectResult;
  readonly drain?: DrainResult;
  readonly promote?: PromoteResult;
  readonly repoint?: RepointResult;
  readonly [step: string]: unknown;
};

export type Superseded = { readonly outcome: 'superseded'; readonly epoch: Epoch; readonly leader: RegionId };
export type Refused = { readonly outcome: 'refused'; readonly code: string; readonly why: string };

/**
 * `lsn`: where the leader's log ends, for as long as its vote bears the mark `by`. `unproven`: why writes of its
 * store may be in no log, so that nobody can tell what is lost.
 */
export type YieldResult =
  | { readonly outcome: 'yielded'; readonly lsn: string; readonly by: Consent; readonly unproven?: string }
  | Refused;

export type ClaimResult =
  | {
      readonly outcome: 'claimed';
      readonly epoch: Epoch;
      readonly from: RegionId;
      /** The epoch that `from` led; absent if nobody knows. */
      readonly led?: Epoch;
      readonly coordinator: RegionId;
      /** Regions that had not answered by then: none of them is waited for where others suffice. */
      readonly silent: readonly RegionId[];
    }
  | { readonly outcome: 'withheld'; readonly why: string }
  | Superseded
  | Refused;

export type SealReport =
  | { readonly region: RegionId; readonly sealed: true; readonly epoch: Epoch; readonly lsn: string }
  | { readonly region: RegionId; readonly sealed: false; readonly why: string };

export type FenceResult =
  | {
      readonly outcome: 'fenced';
      readonly seals: readonly SealReport[];
      readonly rungs: Rungs;
    }
  | {
      readonly outcome: 'unproven';
      readonly rungs: Rungs;
      /** How long the workflow is to wait before the next try, and has waited before this one. */
      readonly waitSeconds: number;
      readonly waitedSeconds: number;
      readonly why: string;
    }
  | Superseded;

export type CandidateReport = {
  readonly region: RegionId;
  readonly epoch: Epoch;
  readonly lsn: string;
  readonly appliedLsn: string | null;
  readonly eligible: boolean;
  readonly why: string;
};

export type ElectResult =
  | {
      readonly outcome: 'elected';
      readonly winner: RegionId;
      readonly pullFrom: readonly RegionId[];
      /** The Regions that follow the winner without a comparison; absent where nobody knows. */
      readonly followers?: readonly RegionId[];
      readonly candidates: readonly CandidateReport[];
      /** The most that may be lost; null for unknown, which is not 0. */
      readonly rpo: { readonly records: number | null; readonly ms: number | null };
    }
  | { readonly outcome: 'none'; readonly candidates: readonly CandidateReport[] };

export type DrainResult =
  | { readonly outcome: 'drained'; readonly lsn: string }
  | { readonly outcome: 'draining'; readonly lsn: string; readonly target: string }
  | Superseded;

export type PromoteResult =
  | { readonly outcome: 'promoted'; readonly leader: RegionId; readonly epoch: Epoch }
  | Superseded;

export type RepointResult =
  | { readonly outcome: 'submitted'; readonly change: string; readonly target: string }
  | { readonly outcome: 'already'; readonly target: string }
  /** Nothing to call: Route 53's health checks follow the leader's lease. */
  | { readonly outcome: 'by-health-checks'; readonly target: string }
  | { readonly outcome: 'stale'; readonly now: { readonly epoch: Epoch; readonly target: string } | null };

/** A switchover that is known to have promoted its successor, by a process that told nobody. */
export type HandedOver = {
  readonly outcome: 'handed-over';
  readonly elect: ElectResult;
  readonly promote: PromoteResult;
};

/** What a run knows by its document: a switchover's first step tells of several steps at once. */
export function knownBy(document: FailoverState): FailoverState {
  const { outcome: _, tries: __, ...steps } = { ...Object(document.handover), ...Object(document.abandon) };
  return { ...document, ...steps };
}

/** The epoch that this run is to begin. */
export function epochOfRun(state: FailoverState): Epoch {
  return advanceEpoch(state.input.epoch);
}

/** The Region that the election chose; a step that comes before it is a defect of the workflow. */
export function winnerOf(state: FailoverState): RegionId {
  if (state.elect?.outcome === 'elected') return state.elect.winner;
  throw new Error('the election has no winner');
}

/**
 * Finds out whether the run's epoch still stands (undefined if so) and, until its leader is in place and beats itself,
 * says in every Region that the run makes progress: one that does not say so for `takeoverMs` is taken over.
 */
export async function goesOn(deps: FailoverDeps, state: FailoverState): Promise<Superseded | undefined> {
  const need = majorityOf(deps.acceptors.members.length);
  return superseding(deps, state, await sayOn(deps, state, (each) => each.size >= need));
}

/**
 * Says in every Region that the run makes progress, until `enough` have answered where they stand.
 *
 * @param asking a Region that asks for its own lease meanwhile: what it says of itself stays there.
 */
export async function sayOn(
  deps: FailoverDeps,
  state: FailoverState,
  enough: (answers: Answers<Acceptor>) => boolean,
  asking?: RegionId,
): Promise<Answers<Acceptor>> {
  const { clock } = deps;
  // The time is a counter that grows from step to step, whichever process runs it.
  const beat: Beat = { epoch: epochOfRun(state), counter: clock.now(), leaseUntilMs: 0 };
  return gather(
    deps,
    async (acceptor, at) =>
      state.promote === undefined && at !== asking ? (await acceptor.beat(beat)).acceptor : acceptor.read(),
    enough,
  );
}

/** What ends the run, by the answers of a majority; undefined if its epoch still stands. */
export async function superseding(
  deps: FailoverDeps,
  state: FailoverState,
  answers: Answers<Acceptor>,
): Promise<Superseded | undefined> {
  const epoch = epochOfRun(state);
  const stands = ({ epoch: at, run }: Register) => at < epoch || (at === epoch && run === state.input.run);
  const isDoubtful = [...answers.values()].some(({ accepted }) => accepted && !stands(accepted.value));
  if (!isDoubtful) return undefined;
  // What a minority has accepted may come to nothing: only what a majority agrees on ends this run.
  const register = await readRegister(deps);
  if (stands(register)) return undefined;
  return { outcome: 'superseded', epoch: register.epoch, leader: register.leader };
}

/** Writes a decision down, where the coordinator is and where the group goes on; a log that fails stops nothing. */
export async function decided<T>(
  deps: FailoverDeps,
  state: FailoverState,
  step: string,
  input: unknown,
  outcome: T,
): Promise<T> {
  const { clock, history, telemetry } = deps;
  const decision = {
    atMs: clock.now(),
    epoch: epochOfRun(state),
    run: state.input.run,
    step,
    input,
    outcome,
  };
  const { epoch, run } = decision;
  for (const [kind, fields] of findingsOf(outcome)) telemetry.event(kind, { epoch, run, ...fields });
  const detail = detailOf(outcome);
  telemetry.event(`failover-${step}`, {
    epoch,
    run,
    outcome: outcomeOf(outcome),
    ...(detail !== undefined && { detail }),
  });
  try {
    await history.record(decision);
  } catch (error) {
    telemetry.event('history-failed', { step, why: String(error) });
  }
  return outcome;
}

function outcomeOf(result: unknown): string {
  return String((result as { readonly outcome?: unknown }).outcome);
}

/** Resolves with undefined if `work` takes longer than PATIENCE_MS or fails. */
export async function patiently<T>(deps: RegisterDeps, work: Promise<T>): Promise<T | undefined> {
  return Promise.race([work, deps.sleep(PATIENCE_MS).then(() => undefined)]).catch(() => undefined);
}
