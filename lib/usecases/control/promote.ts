import { install } from '#lib/domain/control/register.ts';
import { attachFollower } from '#lib/usecases/control/attach-follower.ts';
import { beginChange, changeRegister } from '#lib/usecases/control/change-register.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type PromoteResult,
  patiently,
  winnerOf,
} from '#lib/usecases/control/failover-deps.ts';

/**
 * Makes the winner the leader of the epoch: in the register first, which is where it counts, then in the roles by
 * which each Region's data path goes. From the moment that the winner's own role names it, its capture logs what is
 * written there. A winner that has yet to drain is left to name itself: its sentinel does so once it has.
 *
 * @param ready resolves once the winner may be promoted, if that is under way.
 */
export async function promoteWinner(
  deps: FailoverDeps,
  state: FailoverState,
  ready?: Promise<unknown>,
): Promise<PromoteResult> {
  const epoch = epochOfRun(state);
  const leader = winnerOf(state);
  const cooldownUntilMs = state.input.kind === 'switchover' ? 0 : deps.clock.now() + deps.profile.cooldownMs;
  const [begun] = await Promise.all([ready && beginChange(deps), ready]);
  const { kind, register } = await changeRegister(
    deps,
    (value) => install(value, { epoch, run: state.input.run, leader, cooldownUntilMs }),
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
