import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { drainWinner } from '#lib/usecases/control/drain.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import { type FailoverDeps, type FailoverState, knownBy } from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { handOver } from '#lib/usecases/control/hand-over.ts';
import { promoteWinner } from '#lib/usecases/control/promote.ts';
import { awaitDns, repointClients } from '#lib/usecases/control/repoint.ts';
import { verifyLeader } from '#lib/usecases/control/verify.ts';
import { abandonSwitchover } from '#lib/usecases/control/yield.ts';

export type StepName =
  | 'handover'
  | 'claim'
  | 'fence'
  | 'elect'
  | 'drain'
  | 'promote'
  | 'repoint'
  | 'dns'
  | 'verify'
  | 'abandon';
type Step = (deps: FailoverDeps, state: FailoverState) => Promise<{ readonly outcome: string }>;
export type Steps = Readonly<Record<StepName, Step>>;

export const STEPS: Steps = {
  handover: handOver,
  claim: claimEpoch,
  fence: fenceOld,
  elect: electLeader,
  drain: drainWinner,
  promote: promoteWinner,
  repoint: repointClients,
  dns: awaitDns,
  verify: verifyLeader,
  abandon: abandonSwitchover,
};

type End = 'Done' | 'Superseded' | 'Failed';
type Next = StepName | End | { readonly again: StepName; readonly seconds: number; readonly atMost: number };

/** The graph: what follows a step's outcome. */
function nextOf(
  step: StepName,
  result: { readonly outcome: string; readonly waitSeconds?: number; readonly stopped?: boolean },
): Next {
  const again = (seconds: number, atMost: number) => ({ again: step, seconds, atMost });
  switch (`${step} ${result.outcome}`) {
    case 'handover handed-over':
      return 'repoint';
    case 'handover claimed':
      return 'fence';
    case 'handover refused':
      return result.stopped ? 'abandon' : 'Failed';
    case 'abandon handed-over':
      return 'repoint';
    case 'claim claimed':
      return 'fence';
    case 'claim withheld':
      return again(1, 10);
    case 'fence fenced':
      return 'elect';
    case 'fence unproven':
      return again(result.waitSeconds!, Number.POSITIVE_INFINITY);
    case 'elect elected':
      return 'drain';
    case 'drain drained':
      return 'promote';
    case 'drain draining':
      return again(1, Number.POSITIVE_INFINITY);
    case 'promote promoted':
      return 'repoint';
    case 'repoint submitted':
    case 'repoint by-health-checks':
    case 'repoint already':
      return 'dns';
    case 'dns in-sync':
      return 'verify';
    case 'dns pending':
      return again(0, Number.POSITIVE_INFINITY);
    case 'verify verified':
      return 'Done';
    case 'verify unverified':
      return again(1, 10);
    default:
      return result.outcome === 'superseded' ? 'Superseded' : 'Failed';
  }
}

export type Execution = {
  readonly input: FailoverInput;
  state: FailoverState;
  step: StepName;
  end: End | undefined;
};

type WorkflowDeps = {
  /** Runs a step in a process of its own; rejects if it fails or is not done in time. */
  readonly invoke: (step: StepName, state: FailoverState) => Promise<{ readonly outcome: string }>;
  readonly sleep: (ms: number) => Promise<void>;
  readonly random: () => number;
  readonly onStep: (execution: Execution, step: StepName, result: { readonly outcome: string }) => void;
};

/** Tries of a step that fails, before the execution does. */
const MAX_TRIES = 6;

/** The workflow service of a Region: it outlives every process, keeps each execution's state, and uses a name once. */
export class WorkflowTwin {
  readonly executions = new Map<string, Execution>();
  readonly #deps: WorkflowDeps;

  constructor(deps: WorkflowDeps) {
    this.#deps = deps;
  }

  async start(input: FailoverInput): Promise<'started' | 'exists'> {
    if (this.executions.has(input.run)) return 'exists';
    const step = input.kind === 'switchover' ? 'handover' : 'claim';
    const execution: Execution = { input, state: { input }, step, end: undefined };
    this.executions.set(input.run, execution);
    void this.#run(execution);
    return 'started';
  }

  /** Goes on at the step that failed. */
  redrive(execution: Execution): void {
    if (execution.end !== 'Failed') return;
    execution.end = undefined;
    void this.#run(execution);
  }

  async #run(execution: Execution): Promise<void> {
    const { sleep, random, onStep } = this.#deps;
    let turns = 0;
    for (;;) {
      const { step } = execution;
      const result = await this.#try(step, knownBy(execution.state));
      if (result === undefined && step === 'handover') {
        execution.step = 'abandon';
        continue;
      }
      if (result === undefined) {
        execution.end = 'Failed';
        return;
      }
      execution.state = { ...execution.state, [step]: result };
      onStep(execution, step, result);
      let next = nextOf(step, result);
      if (typeof next === 'object') {
        turns += 1;
        if (turns < next.atMost) {
          await sleep(next.seconds * 1000 + random() * 50);
          continue;
        }
        next = 'Failed';
      }
      turns = 0;
      if (next === 'Done' || next === 'Superseded' || next === 'Failed') {
        execution.end = next;
        return;
      }
      execution.step = next;
    }
  }

  async #try(step: StepName, state: FailoverState): Promise<{ readonly outcome: string } | undefined> {
    const { invoke, sleep, random } = this.#deps;
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      try {
        return await invoke(step, state);
      } catch {
        await sleep(random() * Math.min(5_000, 200 * 2 ** tries));
      }
    }
    return undefined;
  }
}
