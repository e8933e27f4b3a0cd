import { isFailure } from '#lib/domain/errors.ts';
import { decided, type FailoverDeps, type FailoverState } from '#lib/usecases/control/failover-deps.ts';

/** A try of a step that came to nothing, as the decision log has it; without a code where no failure of ours is the cause. */
export type FailedTry = { readonly outcome: 'failed'; readonly code?: string; readonly why: string };

/** Takes a step of a run. One that fails is written down with why, before the workflow hears of it and tries again or stops. */
export async function takeStep<T>(
  deps: FailoverDeps,
  state: FailoverState,
  step: string,
  take: (deps: FailoverDeps, state: FailoverState) => Promise<T>,
): Promise<T> {
  try {
    return await take(deps, state);
  } catch (error) {
    await decided<FailedTry>(deps, state, step, {}, failedBy(error));
    throw error;
  }
}

function failedBy(error: unknown): FailedTry {
  if (!isFailure(error)) return { outcome: 'failed', why: String(error) };
  // The message begins with the code.
  return { outcome: 'failed', code: error.code, why: error.message.slice(error.code.length + 2) };
}
