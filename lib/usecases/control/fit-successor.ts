import type { Consent } from '#lib/domain/control/acceptor.ts';
import { type Candidate, elect } from '#lib/domain/control/election.ts';
import type { ErrorCode } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import { readRegister } from '#lib/usecases/control/change-register.ts';
import { type Cover, coverShards } from '#lib/usecases/control/cover-shards.ts';
import { candidatesIn, rulesOf } from '#lib/usecases/control/elect.ts';
import {
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type HandedOver,
  type Refused,
} from '#lib/usecases/control/failover-deps.ts';
import { promotedBefore } from '#lib/usecases/control/promote.ts';

/** `state`: with the successor in it. `end`: of its log. */
export type Fit = {
  readonly outcome: 'fit';
  readonly state: FailoverState;
  readonly candidates: readonly Candidate[];
  readonly end: Head;
  readonly cover: Cover;
};

/** `resumed`: the leader has given up its lease already. */
type Prepared = Fit | { readonly outcome: 'resumed'; readonly by: Consent } | HandedOver | Refused;

/** How long a successor may take to apply what was logged when the switchover began, ms: writes go on meanwhile. */
const CATCH_UP_MS = 10_000;
const POLL_MS = 50;

/** What can be done before anything is stopped: find the successor, and let it catch up. */
export async function fitSuccessor(deps: FailoverDeps, state: FailoverState): Promise<Prepared> {
  const { group, region } = deps;
  const { input } = state;
  const refuse = (code: ErrorCode, why: string): Refused => ({ outcome: 'refused', code, why });
  const register = await readRegister(deps);
  const { epoch, leader, phase } = register;
  // A process before this one has gone further.
  const promoted = await promotedBefore(deps, state, register);
  if (promoted !== undefined) return promoted;
  const isOwn = epoch === epochOfRun(state) && register.run === input.run;
  if (isOwn && phase !== 'leading') {
    const { voteBy } = await deps.acceptors.of(region).read();
    if (voteBy?.startsWith(`${input.run}/`)) return { outcome: 'resumed', by: voteBy };
  }
  if (epoch !== input.epoch || phase !== 'leading') {
    return refuse('PLAN_STALE', `the group is in epoch ${epoch} (${phase}), not in ${input.epoch}`);
  }
  if (leader !== region) {
    return refuse('NOT_LEADER', `${leader} leads: start the switchover there`);
  }
  const candidates = await candidatesIn(
    deps,
    state,
    group.regions.map(({ name }) => name),
  );
  const { verdicts, winner } = elect(candidates, { ...rulesOf(deps, state), replaced: region });
  if (winner === undefined || winner === region) {
    const whys = verdicts
      .filter((each) => each.region !== region)
      .map((each) => `${each.region}: ${each.why}`);
    return refuse('FAILOVER_REFUSED', `there is no successor: ${whys.join(', ')}`);
  }
  const cover = await coverShards(deps);
  const behind = await catchUp(deps, winner);
  if (behind > 0n) {
    const why = `the store of ${winner} is ${behind} records behind after ${CATCH_UP_MS} ms`;
    return refuse('FAILOVER_REFUSED', why);
  }
  const end = await deps.peers.log(winner).head(LANE_0);
  const fit = { ...state, input: { ...input, successor: winner } };
  return { outcome: 'fit', state: fit, candidates, end, cover };
}

/** Waits until the successor's store holds what is logged now. Returns the records that it lacks if it takes too long. */
async function catchUp(deps: FailoverDeps, successor: RegionId): Promise<bigint> {
  const { clock, peers, region, sleep } = deps;
  const { lastLsn } = await peers.log(region).head(LANE_0);
  const untilMs = clock.now() + CATCH_UP_MS;
  for (;;) {
    const { applied } = await peers.control(successor).applyState(LANE_0);
    const behind = lastLsn - (applied?.lsn ?? 0n);
    if (behind <= 0n || clock.now() >= untilMs) return behind;
    await sleep(POLL_MS);
  }
}
