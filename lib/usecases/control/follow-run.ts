import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { endOfRun, type Step } from '#lib/domain/control/run-end.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { advanceEpoch } from '#lib/domain/lsn.ts';
import type { Decision, History } from '#lib/ports/history.ts';
import type { Executions, Stop } from '#lib/ports/sentinel-ports.ts';

/** How often a run is looked at, and how long it may say nothing before nobody waits for it any more, ms. */
const POLL_MS = 200;
const SILENCE_MS = 90_000;
/** How long a run may say nothing before the workflow is asked for it, and between two such questions, ms. */
const ASK_MS = 2_000;

/**
 * Reads a run's steps from the decision log of its coordinator, which is the same wherever the workflow runs. Throws
 * RUN_STOPPED if the run has ended and left no step that says so, REGION_UNREACHABLE if it falls silent.
 *
 * @param executions the workflow that runs it: a step may die before it has written anything.
 */
export async function* followRun(
  history: Pick<History, 'of'>,
  input: FailoverInput,
  { now, sleep }: { readonly now: () => number; readonly sleep: (ms: number) => Promise<void> },
  executions: Executions,
): AsyncIterable<Decision> {
  const epoch = advanceEpoch(input.epoch);
  const steps: Step[] = [];
  let stop: Stop | undefined;
  let askedMs = now();
  for (let heardMs = now(); endOfRun(input.kind, steps) === undefined; ) {
    const decisions = await history.of(epoch).catch(() => []);
    const fresh = decisions.filter(({ run }) => run === input.run).slice(steps.length);
    for (const decision of fresh) {
      steps.push(decision);
      yield decision;
    }
    if (fresh.length > 0) {
      heardMs = now();
      askedMs = now();
      continue;
    }
    // It was known before this last look at what the run has left.
    if (stop !== undefined) throw stopped(input.run, stop, steps.at(-1)?.step);
    if (now() - heardMs > SILENCE_MS) throw silent(input.run);
    if (now() - askedMs < ASK_MS) {
      await sleep(POLL_MS);
      continue;
    }
    askedMs = now();
    stop = await executions.stopOf(input.run).catch(() => undefined);
  }
}

function stopped(run: string, { how, why }: Stop, after: string | undefined): UnderstudyError {
  const place = after === undefined ? 'before its first step had said anything' : `after ${after}`;
  return new UnderstudyError(
    'RUN_STOPPED',
    `the execution ${run} ${how} ${place}: ${why}`,
    'What was done before stands. See understudy status; if it does not go on by itself, redrive that execution (docs/RUNBOOK.md#run_stopped).',
  );
}

function silent(run: string): UnderstudyError {
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    `run ${run} has made no step for ${SILENCE_MS / 1000} s`,
    'See understudy status and understudy history; a run that is stuck is taken over by another Region.',
  );
}
