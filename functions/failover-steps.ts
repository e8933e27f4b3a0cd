import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { drainWinner } from '#lib/usecases/control/drain.ts';
import { electLeader } from '#lib/usecases/control/elect.ts';
import type { FailoverDeps, FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { handOver } from '#lib/usecases/control/hand-over.ts';
import { promoteWinner } from '#lib/usecases/control/promote.ts';
import { awaitDns, repointClients } from '#lib/usecases/control/repoint.ts';
import { verifyLeader } from '#lib/usecases/control/verify.ts';
import { abandonSwitchover } from '#lib/usecases/control/yield.ts';

/** The steps of the workflow that the function takes by itself, by the names that the state machine has for them. */
export const STEPS = {
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
} satisfies Record<string, (deps: FailoverDeps, state: FailoverState) => Promise<{ outcome: string }>>;

/** What a step answers, with how often this run has taken it: the state machine gives up after so many tries. */
export function counted<T extends object>(
  step: string,
  state: Readonly<Record<string, unknown>>,
  result: T,
): T & { readonly tries: number } {
  const before = state[step] as { readonly tries?: number } | undefined;
  return { ...result, tries: (before?.tries ?? 0) + 1 };
}
