import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  goesOn,
  type Superseded,
  winnerOf,
} from '#lib/usecases/control/failover-deps.ts';

export type VerifyResult =
  | { readonly outcome: 'verified'; readonly leader: string; readonly target: string }
  | { readonly outcome: 'unverified'; readonly why: string };

/** The failover is done only when a write commits at the new leader and DNS names it. */
export async function verifyLeader(
  deps: FailoverDeps,
  state: FailoverState,
): Promise<VerifyResult | Superseded> {
  const over = await goesOn(deps, state);
  if (over !== undefined) return decided(deps, state, 'verify', {}, over);
  const leader = winnerOf(state);
  const target = deps.targetOf(leader);
  const now = await deps.record.read();
  const decide = (result: VerifyResult) =>
    decided(deps, state, 'verify', { leader, dns: now ?? null }, result);
  if (now?.epoch !== epochOfRun(state) || now.target !== target) {
    return decide({ outcome: 'unverified', why: `DNS names ${now?.target ?? 'nothing'}, not ${target}` });
  }
  try {
    await deps.writePath.canary(leader);
  } catch (error) {
    return decide({ outcome: 'unverified', why: `a write at ${leader} failed: ${String(error)}` });
  }
  return decide({ outcome: 'verified', leader, target });
}
