import { doubtOf } from '#lib/domain/control/dns-sight.ts';
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

/** The failover is done only when a write commits at the new leader and every vantage of DNS answers with it. */
export async function verifyLeader(
  deps: FailoverDeps,
  state: FailoverState,
): Promise<VerifyResult | Superseded> {
  const { record, vantages } = deps;
  const over = await goesOn(deps, state);
  if (over !== undefined) return decided(deps, state, 'verify', {}, over);
  const leader = winnerOf(state);
  const target = deps.targetOf(leader);
  const [now, sights] = await Promise.all([record?.read(), vantages?.ask(target)]);
  const decide = (result: VerifyResult) =>
    decided(deps, state, 'verify', { leader, dns: now ?? null, sights: sights ?? null }, result);
  if (record !== undefined && (now?.epoch !== epochOfRun(state) || now.target !== target)) {
    return decide({ outcome: 'unverified', why: `DNS names ${now?.target ?? 'nothing'}, not ${target}` });
  }
  const doubt = sights && doubtOf(sights, target, record !== undefined);
  if (doubt !== undefined) return decide({ outcome: 'unverified', why: `of DNS, ${doubt}` });
  try {
    await deps.writePath.canary(leader);
  } catch (error) {
    return decide({ outcome: 'unverified', why: `a write at ${leader} failed: ${String(error)}` });
  }
  return decide({ outcome: 'verified', leader, target });
}
