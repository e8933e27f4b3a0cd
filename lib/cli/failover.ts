import { randomUUID } from 'node:crypto';
import { type Connection, connect } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { askedOf, refuseBy } from '#lib/cli/plan.ts';
import { workflowsOf } from '#lib/cli/workflow-access.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { Plan } from '#lib/domain/control/plan.ts';
import { endOfRun, type RunEnd } from '#lib/domain/control/run-end.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Decision } from '#lib/ports/history.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';

type RunOptions = GroupChoice & { json?: boolean; to?: string; reason?: string; detach?: boolean };

/** `understudy failover`: replaces a leader that is lost. Follows the run to its end. */
export async function failoverCommand(options: RunOptions & { force?: boolean }): Promise<number> {
  const force = options.force === true;
  if (force && !options.reason?.trim()) {
    throw new UnderstudyError(
      'FORCE_WITHOUT_REASON',
      'a forced failover needs a reason, which is kept',
      'Say why: understudy failover --force --reason "WHY".',
    );
  }
  return begin('failover', options, force);
}

/** `understudy switchover --to`: hands leadership over with the leader's consent, and loses nothing. */
export async function switchoverCommand(options: RunOptions): Promise<number> {
  if (options.to === undefined) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'a switchover needs a successor',
      'Name it: understudy switchover --to REGION.',
    );
  }
  return begin('switchover', options, false);
}

async function begin(kind: 'failover' | 'switchover', options: RunOptions, force: boolean): Promise<number> {
  const connection = await connect(options);
  try {
    const plan = await planGroup(connection, { kind, force, ...askedOf(connection, options.to) });
    refuseBy(plan);
    const { input, region } = inputOf(connection, plan, options);
    const { register } = connection;
    const time = { now: () => Date.now(), sleep: register.sleep };
    const workflows = workflowsOf(connection.config, connection.peers, time);
    const begunMs = Date.now();
    await workflows.start(region, input);
    say(options, { event: 'started', region, ...input }, `Run ${input.run} starts in ${region}.`);
    if (options.detach) return 0;
    const steps: Decision[] = [];
    for await (const decision of workflows.follow(region, input)) {
      steps.push(decision);
      const { atMs, outcome, step } = decision;
      say(options, { event: 'step', atMs, step, ...Object(outcome) }, stepLine(decision, begunMs));
    }
    return conclude(options, kind, endOfRun(kind, steps));
  } finally {
    connection.close();
  }
}

/** What is started, and where. A plan that is not refused has all of it. */
function inputOf(
  { config }: Connection,
  plan: Plan,
  { reason }: RunOptions,
): { readonly input: FailoverInput; readonly region: RegionId } {
  const { asked, epoch, force, kind, startIn, winner } = plan;
  if (epoch === undefined || startIn === undefined) throw new Error('the plan has no place to start in');
  const successor = asked ?? (force ? winner : undefined);
  const input: FailoverInput = {
    group: config.group,
    epoch,
    kind,
    run: `${config.group}-${epoch + 1}-cli-${randomUUID().slice(0, 8)}`,
    trigger: 'operator',
    ...(successor === undefined ? {} : { successor }),
    ...(force ? { force } : {}),
    ...(reason === undefined ? {} : { reason }),
    // Who asks for it is the person who would be asked.
    approval: false,
  };
  return { input, region: startIn };
}

function conclude(
  options: RunOptions,
  kind: 'failover' | 'switchover',
  end: RunEnd | undefined,
): Promise<number> | number {
  if (end?.kind === 'done') {
    say(options, { event: 'end', outcome: 'done' }, `The ${kind} is done.`);
    return 0;
  }
  const { code, why, stoppedAt } = end ?? {
    code: 'REGION_UNREACHABLE' as const,
    why: 'its end is not known',
    stoppedAt: undefined,
  };
  say(options, { event: 'end', outcome: 'failed', code, why, ...(stoppedAt && { stoppedAt }) });
  const next =
    stoppedAt === undefined
      ? 'See understudy status for what to do next.'
      : `What was done before stands. See docs/RUNBOOK.md#${code.toLowerCase()}, then understudy status; if it does not go on by itself, redrive the run at ${stoppedAt} (docs/RUNBOOK.md#run_stopped).`;
  throw new UnderstudyError(code, `the ${kind} failed: ${why.replace(/\.$/, '')}`, next);
}

function stepLine({ atMs, outcome, step }: Decision, begunMs: number): string {
  const { outcome: name, ...rest } = Object(outcome) as Record<string, unknown>;
  const shown = Object.entries(rest)
    .filter(([, value]) => typeof value !== 'object' || value === null)
    .map(([key, value]) => `${key} ${value}`);
  const after = `${Math.max(0, atMs - begunMs)} ms`.padStart(9);
  return `${after}  ${step.padEnd(8)} ${[name, ...shown].join(', ')}`;
}

function say({ json }: RunOptions, object: object, text?: string): void {
  if (json) console.log(jsonLine(object));
  else if (text !== undefined) console.log(text);
}
