import { type DrillLeg, type DrillReport, drillInput, drillRun, legOf } from '#lib/domain/control/drill.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import type { Refusal } from '#lib/domain/control/plan.ts';
import type { Resources } from '#lib/domain/control/plan-calls.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import { endOfRun } from '#lib/domain/control/run-end.ts';
import { registerOf, type Survey } from '#lib/domain/control/survey.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch } from '#lib/domain/lsn.ts';
import type { DrillEvidence } from '#lib/ports/drill-evidence.ts';
import type { Decision, History } from '#lib/ports/history.ts';
import type { Executions, Workflow } from '#lib/ports/sentinel-ports.ts';
import type { Clock } from '#lib/ports/telemetry.ts';
import { drillPage } from '#lib/usecases/control/drill-page.ts';
import { followRun } from '#lib/usecases/control/follow-run.ts';
import { guardOf } from '#lib/usecases/control/guard.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';

export type DrillDeps = {
  readonly config: Omit<Resources, 'record'> & { readonly group: GroupId; readonly failover: FailoverConfig };
  readonly profile: Profile;
  readonly region: RegionId;
  readonly survey: () => Promise<Survey>;
  readonly workflowIn: (region: RegionId) => Workflow & Executions;
  readonly historyOf: (region: RegionId) => History;
  readonly evidence: DrillEvidence;
  readonly approvedBy: string;
  readonly clock: Clock;
  readonly sleep: (ms: number) => Promise<void>;
  /** Whether there is time for another look: the way back waits for the former leader to follow. */
  readonly mayGoOn: () => boolean;
};

/**
 * - elsewhere: another Region leads, and has the drill.
 * - begun-before: the same drill was asked for twice, or the Region leads by it.
 * - kept: there is a report, at `at`.
 */
export type DrillEnd =
  | { readonly outcome: 'elsewhere'; readonly region: RegionId }
  | { readonly outcome: 'begun-before' }
  | { readonly outcome: 'kept'; readonly report: DrillReport; readonly at: string };

/** Between two looks whether the former leader may lead again, ms. */
const LOOK_MS = 1_000;

/** Why there is no drill, or no way back. */
type Reason = Pick<Refusal, 'code' | 'why'>;
type Named = Pick<DrillReport, 'group' | 'due' | 'approvedBy'>;
type Result =
  Extract<DrillReport, { readonly outcome: 'passed' | 'failed' }> extends infer R
    ? R extends DrillReport
      ? Omit<R, 'version' | 'group' | 'due' | 'approvedBy' | 'home' | 'begunMs' | 'endedMs'>
      : never
    : never;

/**
 * A switchover to the best follower and one back, by the workflow that every switchover takes, with a report of both. Every
 * Region is told, and not at the same moment; the one that leads has the drill, and one that leads by it when it hears of it
 * has none of its own. One that would meet a failover, its cooldown, a pause, or a group without a successor is refused before
 * anything is started, which is written down.
 *
 * Throws REGISTER_UNAVAILABLE if no Region says who leads.
 */
export async function scheduledDrill(deps: DrillDeps, due: string): Promise<DrillEnd> {
  const { approvedBy, clock, config, evidence, region } = deps;
  const begunMs = clock.now();
  const { register, refusal } = await look(deps);
  // Whoever replaces a leader knows best why there is no drill now.
  const at = register.phase === 'leading' ? register.leader : register.coordinator;
  if (at !== region) return { outcome: 'elsewhere', region: at };
  const named: Named = { group: config.group, due, approvedBy };
  if (register.run === drillRun(named, register.epoch)) return { outcome: 'begun-before' };
  if ((await evidence.begin(due, begunMs)) === 'exists') return { outcome: 'begun-before' };
  const result =
    refusal === undefined
      ? await thereAndBack(deps, named, register.epoch)
      : await refused(deps, named, register.epoch, refusal);
  const report = { version: 1, ...named, home: region, begunMs, endedMs: clock.now(), ...result } as const;
  return { outcome: 'kept', report, at: await evidence.keep(report, drillPage(report)) };
}

async function thereAndBack(deps: DrillDeps, drill: Named, epoch: Epoch): Promise<Result> {
  const home = deps.region;
  const there = await leg(deps, drillInput(drill, epoch), home);
  if (there.end.kind === 'failed') return { outcome: 'failed', ...reasonOf(there.end), there };
  const away = there.to!;
  const stay = await untilFit(deps, { epoch: advanceEpoch(epoch), leader: away });
  if (stay !== undefined) return { outcome: 'failed', ...stay, there };
  const back = await leg(deps, drillInput(drill, advanceEpoch(epoch), home), away);
  if (back.end.kind === 'failed') return { outcome: 'failed', ...reasonOf(back.end), there, back };
  return { outcome: 'passed', there, back };
}

/** A switchover from `from`, in whose Region it runs, followed to its end. */
async function leg(deps: DrillDeps, input: FailoverInput, from: RegionId): Promise<DrillLeg> {
  const { clock } = deps;
  const startedMs = clock.now();
  const steps: Decision[] = [];
  let lost: unknown;
  const time = { now: () => clock.now(), sleep: deps.sleep };
  try {
    const workflow = deps.workflowIn(from);
    await workflow.start(input);
    for await (const decision of followRun(deps.historyOf(from), input, time, workflow)) steps.push(decision);
  } catch (error) {
    lost = error;
  }
  const end = endOfRun(input.kind, steps) ?? { kind: 'failed', ...lossOf(lost) };
  return legOf(input, from, steps, { startedMs, endedMs: clock.now() }, end);
}

/** Why the run was not followed to its end. */
function lossOf(lost: unknown): Reason {
  if (!isFailure(lost)) return { code: 'REGION_UNREACHABLE', why: `its end is not known: ${String(lost)}` };
  return { code: lost.code, why: lost.message.slice(lost.code.length + 2) };
}

/** Waits until the former leader may be given the lead again; says why not if that does not come. */
async function untilFit(
  deps: DrillDeps,
  expected: { readonly epoch: Epoch; readonly leader: RegionId },
): Promise<Reason | undefined> {
  for (;;) {
    const { register, refusal } = await look(deps, deps.region);
    const { coordinator, epoch, leader, paused } = register;
    if (epoch !== expected.epoch || leader !== expected.leader) {
      const why = `another run was first: epoch ${epoch}, coordinated by ${coordinator}`;
      return { code: 'PLAN_STALE', why };
    }
    if (refusal === undefined) return undefined;
    if (paused !== undefined || !deps.mayGoOn()) {
      return { code: refusal.code, why: `${leader} still leads: ${refusal.why}` };
    }
    await deps.sleep(LOOK_MS);
  }
}

/** Where the group stands, and what speaks against a switchover now. */
async function look(deps: DrillDeps, asked?: RegionId) {
  const survey = await deps.survey();
  const known = registerOf(survey);
  if (known === undefined) {
    throw new UnderstudyError(
      'REGISTER_UNAVAILABLE',
      'no Region says who leads, so there is no drill',
      'See understudy status.',
    );
  }
  const { register } = known;
  const plan = await planGroup(
    { ...deps, survey: async () => survey },
    { kind: 'switchover', force: false, ...(asked !== undefined && { asked }) },
  );
  const guarded = guardOf(register, survey.atMs);
  const refusal: Reason | undefined =
    guarded === undefined ? plan.refusals[0] : { code: 'FAILOVER_REFUSED', why: guarded };
  return { register, refusal };
}

async function refused(
  { clock, historyOf, region }: DrillDeps,
  drill: Named,
  epoch: Epoch,
  { code, why }: Reason,
) {
  const { reason, run } = drillInput(drill, epoch);
  const outcome = { outcome: 'refused', code, why } as const;
  await historyOf(region).record({
    atMs: clock.now(),
    epoch: advanceEpoch(epoch),
    run,
    step: 'drill',
    input: { reason },
    outcome,
  });
  return outcome;
}

function reasonOf({ code, why }: Reason): Reason {
  return { code, why };
}
