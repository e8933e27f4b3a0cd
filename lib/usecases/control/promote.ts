import { install, type Register } from '#lib/domain/control/register.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { attachFollower } from '#lib/usecases/control/attach-follower.ts';
import { type Begun, changeRegister } from '#lib/usecases/control/change-register.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type HandedOver,
  type PromoteResult,
  patiently,
  winnerOf,
} from '#lib/usecases/control/failover-deps.ts';
import { relay } from '#lib/usecases/relay.ts';

/**
 * Makes the winner the leader of the epoch: in the register first, which is where it counts, then in the roles by
 * which each Region's data path goes. From the moment that the winner's own role names it, its capture logs what is
 * written there. A winner that has yet to drain is left to name itself: its sentinel does so once it has.
 *
 * @param completing what is left of the log is on its way to the winner, if it is: `leadsFrom` is where that log ends then, and
 * the winner is followed from when `done` resolves.
 */
export async function promoteWinner(
  deps: FailoverDeps,
  state: FailoverState,
  completing?: { readonly leadsFrom: string; readonly begun: Begun; readonly done: Promise<unknown> },
): Promise<PromoteResult> {
  const epoch = epochOfRun(state);
  const leader = winnerOf(state);
  const cooldownUntilMs = state.input.kind === 'switchover' ? 0 : deps.clock.now() + deps.profile.cooldownMs;
  const { begun, done, leadsFrom } = completing ?? {};
  const { kind, register } = await changeRegister(
    deps,
    (value) => install(value, { epoch, run: state.input.run, leader, cooldownUntilMs, leadsFrom }),
    { ...(begun && { begun }) },
  );
  if (kind !== 'changed') {
    return decided(
      deps,
      state,
      'promote',
      { leader },
      {
        outcome: 'superseded',
        epoch: register.epoch,
        leader: register.leader,
      },
    );
  }
  await done;
  if (state.drain?.outcome === 'drained') await deps.peers.control(leader).nameLeader({ epoch, leader });
  const followers = (state.elect?.outcome === 'elected' ? state.elect.followers : undefined) ?? [];
  // The others learn it from their own sentinels too; this is sooner, and one that is away holds up nobody.
  for (const { name } of deps.group.regions) {
    if (name === leader) continue;
    const told = followers.includes(name)
      ? attachFollower(deps, name, { epoch, leader })
      : deps.peers.control(name).nameLeader({ epoch, leader });
    void patiently<unknown>(deps, told);
  }
  return decided(deps, state, 'promote', { leader }, { outcome: 'promoted', leader, epoch });
}

/**
 * The successor that this run has promoted by what the register says, undefined if it has not. A process that broke off may
 * have left its log without the rest: until that is there, it leads nothing.
 */
export async function promotedBefore(
  { peers, region }: FailoverDeps,
  state: FailoverState,
  { coordinator, epoch, leader, leadsFrom, phase, run }: Register,
): Promise<HandedOver | undefined> {
  const isDone = epoch === epochOfRun(state) && run === state.input.run && phase === 'leading';
  if (!isDone || leader === coordinator) return undefined;
  const log = peers.log(leader);
  if (leadsFrom !== undefined && (await log.head(LANE_0)).lastLsn < BigInt(leadsFrom))
    await relay(peers.log(region), log, LANE_0, epoch);
  const unknown = { records: null, ms: null };
  return {
    outcome: 'handed-over',
    elect: { outcome: 'elected', winner: leader, pullFrom: [], candidates: [], rpo: unknown },
    promote: { outcome: 'promoted', leader, epoch },
  };
}
