import { counterOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import { claim } from '#lib/domain/control/register.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import {
  type ClaimResult,
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
} from '#lib/usecases/control/failover-deps.ts';
import { gather } from '#lib/usecases/control/gather.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';

/**
 * Takes the next epoch for this run: the register's change from (e, leading) to (e + 1, failing over, this run). Only
 * one run ever gets it, and only once a majority of the Regions has withdrawn its grant from e.
 */
export async function claimEpoch(deps: FailoverDeps, state: FailoverState): Promise<ClaimResult> {
  const { input } = state;
  const found = await heard(deps, state);
  const decide = (result: ClaimResult) => decided(deps, state, 'claim', { ...input, found }, result);
  if (input.force === true && !input.reason?.trim()) {
    return decide({
      outcome: 'refused',
      code: 'FORCE_WITHOUT_REASON',
      why: 'a forced failover needs a reason',
    });
  }
  if (deps.acceptors.members.length < 3) {
    const why = 'two Regions cannot outvote a lost one: add a replica or a witness';
    return decide({ outcome: 'refused', code: 'REGIONS_TOO_FEW', why });
  }
  const epoch = epochOfRun(state);
  let guarded: string | undefined;
  const change = await changeRegister(deps, (register) => {
    guarded =
      input.trigger === 'votes' && register.epoch === input.epoch
        ? guardOf(register, deps.clock.now())
        : undefined;
    if (guarded !== undefined) return { kind: 'superseded', register };
    return claim(register, {
      epoch: input.epoch,
      coordinator: deps.region,
      run: input.run,
      phase: input.kind === 'switchover' ? 'switching-over' : 'failing-over',
      ...(input.successor === undefined ? {} : { successor: input.successor }),
    });
  });
  const { register } = change;
  if (guarded !== undefined) return decide({ outcome: 'refused', code: 'FAILOVER_REFUSED', why: guarded });
  switch (change.kind) {
    case 'changed':
      return decide({
        outcome: 'claimed',
        epoch,
        from: register.leader,
        ...(register.led === undefined ? {} : { led: register.led }),
        coordinator: deps.region,
      });
    case 'superseded':
      return decide({ outcome: 'superseded', epoch: register.epoch, leader: register.leader });
    case 'withheld':
      return decide({
        outcome: 'withheld',
        why: `too few Regions have voted against epoch ${input.epoch}: ${register.leader} is alive as far as they know`,
      });
  }
}

/** What each Region says of the epoch that is to end: for the decision log. */
async function heard(deps: FailoverDeps, state: FailoverState) {
  const answers = await gather(
    deps,
    (acceptor) => acceptor.read(),
    (each) => each.size >= majorityOf(deps.acceptors.members.length),
  );
  return [...answers].map(([region, item]) => ({
    region,
    vote: item.vote ?? null,
    beat: counterOf(item, state.input.epoch),
  }));
}
