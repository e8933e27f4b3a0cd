import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { endOfRun, type Step } from '#lib/domain/control/run-end.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { advanceEpoch } from '#lib/domain/lsn.ts';
import type { Decision, History } from '#lib/ports/history.ts';

/** How often a run is looked at, and how long it may say nothing before nobody waits for it any more, ms. */
const POLL_MS = 200;
const SILENCE_MS = 90_000;

/** Reads a run's steps from the decision log of its coordinator, which is the same wherever the workflow runs. */
export async function* followRun(
  history: Pick<History, 'of'>,
  input: FailoverInput,
  { now, sleep }: { readonly now: () => number; readonly sleep: (ms: number) => Promise<void> },
): AsyncIterable<Decision> {
  const epoch = advanceEpoch(input.epoch);
  const steps: Step[] = [];
  for (let heardMs = now(); endOfRun(input.kind, steps) === undefined; ) {
    const decisions = await history.of(epoch).catch(() => []);
    const fresh = decisions.filter(({ run }) => run === input.run).slice(steps.length);
    for (const decision of fresh) {
      steps.push(decision);
      yield decision;
    }
    if (fresh.length > 0) heardMs = now();
    else if (now() - heardMs > SILENCE_MS) throw silent(input.run);
    else await sleep(POLL_MS);
  }
}

function silent(run: string): UnderstudyError {
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    `run ${run} has made no step for ${SILENCE_MS / 1000} s`,
    'See understudy status and understudy history; a run that is stuck is taken over by another Region.',
  );
}
