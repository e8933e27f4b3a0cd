import type { Plan } from '#lib/domain/control/plan.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Divergences } from '#lib/ports/divergences.ts';
import type { Figures, Telemetry } from '#lib/ports/telemetry.ts';
import { epochsUpTo } from '#lib/usecases/control/survey.ts';

export type SafetyDeps = {
  readonly region: RegionId;
  readonly acceptor: Pick<AcceptorStore, 'read'>;
  readonly telemetry: Telemetry;
  /** Absent at a witness. */
  readonly replica?: {
    readonly control: Pick<Control, 'role'>;
    readonly divergences: Pick<Divergences, 'of'>;
    /** Epochs that need not be looked at for a divergence any more. Kept for the life of the process. */
    readonly settled: Set<Epoch>;
    /** What a failover would do if it began now: asked for at the leader alone. */
    readonly plan: () => Promise<Plan>;
    /** The least share of the lease that was left of late, 0 to 1; undefined while there was none. */
    readonly leaseLeft: () => number | undefined;
  };
};
type Replica = NonNullable<SafetyDeps['replica']>;

/**
 * Says as metrics how safe the group is: the leader for the group, every Region its own vote and divergences. What a
 * Region can't tell is not sent, and hides nothing else.
 */
export async function reportSafety(deps: SafetyDeps): Promise<void> {
  const { acceptor, region, replica, telemetry } = deps;
  const { accepted, vote } = await acceptor.read();
  const register = accepted?.value;
  if (register === undefined) return;
  const leads = register.phase === 'leading' && register.leader === region;
  const [divergences, leader] = await Promise.all([
    replica && known(telemetry, 'divergences', countDivergences(replica)),
    replica && leads ? figuresOfLeader(deps, replica, register.epoch) : undefined,
  ]);
  telemetry.metrics({
    WitnessUp: replica === undefined ? 1 : undefined,
    // A leader's own vote is its consent to a switchover.
    VotesInForce: !leads && vote !== undefined && vote >= register.epoch ? 1 : undefined,
    Divergences: divergences === 0 ? undefined : divergences,
    ...leader,
  });
}

async function figuresOfLeader(
  { region, telemetry }: SafetyDeps,
  replica: Replica,
  epoch: Epoch,
): Promise<Figures> {
  const leaseLeft = replica.leaseLeft();
  const own = {
    Epoch: epoch,
    Leads: 1,
    LeaseLeftPercent: leaseLeft === undefined ? undefined : 100 * leaseLeft,
  };
  const plan = await known(telemetry, 'plan', replica.plan());
  if (plan === undefined) return own;
  const { candidates, rpo } = plan;
  return {
    ...own,
    RpoRecords: rpo.records,
    RpoSeconds: rpo.ms === undefined ? undefined : rpo.ms / 1000,
    Candidates: candidates.filter((each) => each.eligible && each.region !== region).length,
  };
}

/** Tails that this Region has saved and that nobody has discarded. */
async function countDivergences({ control, divergences, settled }: Replica): Promise<number> {
  const { attached, epoch } = await control.role();
  const open = await Promise.all(
    epochsUpTo(epoch - 1)
      .filter((each) => !settled.has(each))
      .map(async (each) => {
        const found = await divergences.of(each);
        const isOpen = (found?.report?.changes ?? 0) > 0 && found?.discarded === undefined;
        // A Region that follows adds nothing to what it had: what is not open now never will be.
        if (!isOpen && attached === epoch) settled.add(each);
        return isOpen;
      }),
  );
  return open.filter((each) => each).length;
}

async function known<T>(telemetry: Telemetry, what: string, work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    telemetry.event('safety-unknown', { what, why: String(error) });
    return undefined;
  }
}
