import { type Acceptor, type Consent, majorityOf } from '#lib/domain/control/acceptor.ts';
import { HANDOVER_MS } from '#lib/domain/control/application-lease.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { readRegister } from '#lib/usecases/control/change-register.ts';
import {
  decided,
  type FailoverDeps,
  type FailoverState,
  patiently,
  type YieldResult,
} from '#lib/usecases/control/failover-deps.ts';
import { countOf, gather } from '#lib/usecases/control/gather.ts';

/** How long the leader's capture may take to log the last writes before the switchover is given up, ms. */
const CAPTURE_MS = 5_000;
const POLL_MS = 20;

/**
 * The leader hands over: its own vote ends the lease that its clients read, and what they have written by then goes
 * into its log. Runs in the leader's Region, which alone may give up its lease. What fails is taken back by
 * `abandonSwitchover`.
 */
export async function yieldLease(deps: FailoverDeps, state: FailoverState): Promise<YieldResult> {
  const { input } = state;
  const { acceptors, clock, region, sleep, writePath } = deps;
  const decide = (result: YieldResult) => decided(deps, state, 'yield', { ...input }, result);
  const register = await readRegister(deps);
  if (register.epoch !== input.epoch || register.phase !== 'leading') {
    const why = `the group is in epoch ${register.epoch} (${register.phase}), not in ${input.epoch}`;
    return decide({ outcome: 'refused', code: 'PLAN_STALE', why });
  }
  if (register.leader !== region) {
    const why = `${register.leader} leads: start the switchover there`;
    return decide({ outcome: 'refused', code: 'NOT_LEADER', why });
  }
  // While the leader's own item bears this mark, it has lent no lease since: the election looks.
  const by: Consent = `${input.run}/${deps.chance()}`;
  const own = await acceptors.of(region).vote(input.epoch, 'over', by);
  if (own.kind === 'beaten') {
    return decide({
      outcome: 'refused',
      code: 'FAILOVER_REFUSED',
      why: 'the leader is handing over already',
    });
  }
  if (own.kind !== 'voted') {
    return decide({ outcome: 'refused', code: 'PLAN_STALE', why: 'a higher epoch has been claimed' });
  }
  await sleep(HANDOVER_MS);
  const log = deps.peers.log(region);
  let head = await log.head(LANE_0);
  // An earlier leader's clock may have been ahead of this one's: the mark must be newer than all that is logged.
  const begunMs = clock.now();
  while (clock.now() <= head.lastCommitMs && clock.now() - begunMs <= CAPTURE_MS) await sleep(POLL_MS);
  const markMs = Math.max(clock.now(), head.lastCommitMs + 1);
  await writePath.canary(region);
  while (head.lastCommitMs < markMs) {
    if (clock.now() - markMs > CAPTURE_MS) {
      const why = `the last writes were not logged within ${CAPTURE_MS} ms`;
      return decide({ outcome: 'refused', code: 'FAILOVER_REFUSED', why });
    }
    await sleep(POLL_MS);
    head = await log.head(LANE_0);
  }
  const need = majorityOf(acceptors.members.length);
  const inForce = ({ acceptor }: { readonly acceptor: Acceptor }) => acceptor.vote === input.epoch;
  const votes = await gather(
    deps,
    (acceptor) => acceptor.vote(input.epoch, 'over', by),
    (each) => countOf(each, inForce) >= need,
  );
  if (countOf(votes, inForce) < need) {
    return decide({
      outcome: 'refused',
      code: 'REGISTER_UNAVAILABLE',
      why: 'no majority of the Regions answers',
    });
  }
  return decide({ outcome: 'yielded', lsn: `${head.lastLsn}`, by });
}

/** Takes a switchover back that could not be completed: the leader is lent its lease again. */
export async function abandonSwitchover(
  deps: FailoverDeps,
  state: FailoverState,
): Promise<{ readonly outcome: 'abandoned' }> {
  const { acceptors } = deps;
  const { epoch, run } = state.input;
  const takeBack = async (acceptor: AcceptorStore) => {
    const { vote, voteBy } = await acceptor.read();
    if (vote === epoch && voteBy?.startsWith(`${run}/`)) await acceptor.unvote(epoch, voteBy);
  };
  await Promise.all(acceptors.members.map((at) => patiently(deps, takeBack(acceptors.of(at)))));
  return decided(deps, state, 'abandon', {}, { outcome: 'abandoned' as const });
}
