import type { Consent } from '#lib/domain/control/acceptor.ts';
import { lookTimesOf } from '#lib/domain/control/application-lease.ts';
import { install } from '#lib/domain/control/register.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { beatenShards } from '#lib/domain/marks.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { changeRegister, readRegister } from '#lib/usecases/control/change-register.ts';
import type { Cover } from '#lib/usecases/control/cover-shards.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type HandedOver,
  patiently,
  type Refused,
  type YieldResult,
} from '#lib/usecases/control/failover-deps.ts';
import { promotedBefore } from '#lib/usecases/control/promote.ts';

/** How long the leader's capture may take to log the last writes before the switchover is given up, ms. */
const CAPTURE_MS = 5_000;
const POLL_MS = 20;
/** Between two lists of the stream's shards, of which DynamoDB answers ten a second, ms. */
const RELIST_MS = 250;

/**
 * The leader's own vote ends the lease that its clients read. Whoever holds the mark that it bears knows that no lease has
 * been lent since.
 */
export async function giveUpLease(
  deps: FailoverDeps,
  { input }: FailoverState,
): Promise<{ readonly outcome: 'given-up'; readonly by: Consent } | Refused> {
  const by: Consent = `${input.run}/${deps.chance()}`;
  const own = await deps.acceptors.of(deps.region).vote(input.epoch, 'over', by);
  if (own.kind === 'voted') return { outcome: 'given-up', by };
  return own.kind === 'beaten'
    ? { outcome: 'refused', code: 'FAILOVER_REFUSED', why: 'the leader is handing over already' }
    : { outcome: 'refused', code: 'PLAN_STALE', why: 'a higher epoch has been claimed' };
}

/**
 * Waits until every write that counts is made and in the log: until a heartbeat that was written later has come in each
 * shard of the stream, or in one that follows it. Runs in the leader's Region, by whose clock it goes.
 */
export async function lastWrites(deps: FailoverDeps, by: Consent, cover: Cover): Promise<YieldResult> {
  const { clock, region, sleep, stream } = deps;
  await sleep(lookTimesOf(deps.group.register).handoverMs);
  const log = deps.peers.log(region);
  let head = await log.head(LANE_0);
  // An earlier leader's clock may have been ahead of this one's: the mark must be newer than all that is logged.
  const begunMs = clock.now();
  while (clock.now() <= head.lastCommitMs && clock.now() - begunMs <= CAPTURE_MS) await sleep(POLL_MS);
  const markMs = Math.max(clock.now(), head.lastCommitMs + 1);
  await stream.beat(cover.beats, markMs);
  let { shards } = cover;
  let listedMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    head = await log.head(LANE_0);
    const beaten = beatenShards(head.marks, region, markMs);
    const left = shards.filter((shard) => !beaten.has(shard));
    if (beaten.size > 0 && left.length === 0) break;
    if (clock.now() - markMs > CAPTURE_MS) {
      const where = shards.length > 1 ? ` in ${left.length} of ${shards.length} shards` : '';
      const why = `the last writes were not logged within ${CAPTURE_MS} ms${where}`;
      return { outcome: 'refused', code: 'FAILOVER_REFUSED', why };
    }
    // One of them has ended since they were listed, and heartbeats come in those that follow it.
    const hasEnded = left.length > 0 && [...beaten].some((shard) => !shards.includes(shard));
    if (hasEnded && cover.unproven === undefined && clock.now() - listedMs > RELIST_MS) {
      listedMs = clock.now();
      shards = (await patiently(deps, stream.newestShards())) ?? shards;
    }
    await sleep(POLL_MS);
  }
  const { unproven } = cover;
  return { outcome: 'yielded', lsn: `${head.lastLsn}`, by, ...(unproven !== undefined && { unproven }) };
}

/**
 * Takes a switchover back that could not be completed: the leader is lent its lease again, or, where the epoch was
 * claimed, leads that one. Where the successor was promoted after all, there is nothing to take back. Throws
 * REGISTER_UNAVAILABLE or REGISTER_CONTENDED where nobody can tell which it is.
 */
export async function abandonSwitchover(
  deps: FailoverDeps,
  state: FailoverState,
): Promise<{ readonly outcome: 'abandoned' } | HandedOver> {
  const { acceptors } = deps;
  const { epoch, run } = state.input;
  const takeBack = async (acceptor: AcceptorStore) => {
    const { vote, voteBy } = await acceptor.read();
    if (vote === epoch && voteBy?.startsWith(`${run}/`)) await acceptor.unvote(epoch, voteBy);
  };
  const takeBackAll = () =>
    Promise.all(acceptors.members.map((at) => patiently(deps, takeBack(acceptors.of(at)))));
  const register = await readRegister(deps).catch(async (error: unknown) => {
    // Should the epoch not be claimed, that is all there is to take back. Whether it is, another try has to find out.
    await takeBackAll();
    throw error;
  });
  const promoted = await promotedBefore(deps, state, register);
  if (promoted !== undefined) return decided(deps, state, 'abandon', {}, promoted);
  // As often as it takes: a try before this one may have got half-way.
  if (register.run === run) await leadOn(deps, state, register.leader);
  await takeBackAll();
  return decided(deps, state, 'abandon', {}, { outcome: 'abandoned' as const });
}

/** The leader leads the epoch that was meant for its successor. */
async function leadOn(deps: FailoverDeps, state: FailoverState, leader: RegionId): Promise<void> {
  const epoch = epochOfRun(state);
  const { run } = state.input;
  const { kind } = await changeRegister(deps, (value) =>
    install(value, { epoch, run, leader, cooldownUntilMs: 0 }),
  );
  if (kind !== 'changed') return;
  await deps.peers.control(leader).nameLeader({ epoch, leader });
  const { record, targetOf } = deps;
  await record?.flip(await record.read(), { epoch, target: targetOf(leader) });
}
