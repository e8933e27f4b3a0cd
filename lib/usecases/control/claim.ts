import { type Acceptor, counterOf } from '#lib/domain/control/acceptor.ts';
import { claim } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { type ChangeOptions, changeRegister } from '#lib/usecases/control/change-register.ts';
import {
  type ClaimResult,
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
} from '#lib/usecases/control/failover-deps.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';

/** A Region that has not answered after this time is told to be silent, ms: above the round trip to most of them. */
const SILENT_MS = 150;

/**
 * Takes the next epoch for this run: the register's change from (e, leading) to (e + 1, failing over, this run). Only
 * one run ever gets it, and only once a majority of the Regions has withdrawn its grant from e.
 *
 * @param options of a switchover: the leader's consent, by which they withdraw it.
 */
export async function claimEpoch(
  deps: FailoverDeps,
  state: FailoverState,
  options: ChangeOptions = {},
): Promise<ClaimResult> {
  const { input } = state;
  const hearing = listen(deps);
  const decide = (result: ClaimResult) =>
    decided(deps, state, 'claim', { ...input, found: told(hearing, input.epoch) }, result);
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
  const change = await changeRegister(
    deps,
    (register) => {
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
    },
    options,
  );
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
        silent: silentIn(deps, hearing),
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

type Hearing = { readonly sinceMs: number; readonly answers: Map<RegionId, Acceptor> };

/** Asks every Region where it stands, beside the claim: what has been answered by its end is known, and not waited for. */
function listen({ acceptors, clock }: FailoverDeps): Hearing {
  const answers = new Map<RegionId, Acceptor>();
  for (const region of acceptors.members) {
    acceptors
      .of(region)
      .read()
      .then(
        (item) => answers.set(region, item),
        () => {},
      );
  }
  return { sinceMs: clock.now(), answers };
}

/** What each Region says of the epoch that is to end: for the decision log. */
function told({ answers }: Hearing, epoch: Epoch) {
  return [...answers].map(([region, item]) => ({
    region,
    vote: item.vote ?? null,
    beat: counterOf(item, epoch),
  }));
}

function silentIn({ acceptors, clock }: FailoverDeps, { answers, sinceMs }: Hearing): readonly RegionId[] {
  if (clock.now() - sinceMs < SILENT_MS) return [];
  return acceptors.members.filter((region) => !answers.has(region));
}
