import { type Connection, connect, regionOf } from '#lib/cli/connect.ts';
import type { GroupChoice } from '#lib/cli/find-group.ts';
import { jsonLine } from '#lib/cli/json-line.ts';
import { table } from '#lib/cli/table.ts';
import type { Plan, Refusal } from '#lib/domain/control/plan.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';

type PlanOptions = GroupChoice & { json?: boolean; to?: string; force?: boolean; switchover?: boolean };

const STOPPED = { any: 'it', operator: 'it now', automatic: 'an automatic one' } as const;

/**
 * `understudy plan`: what a failover, or a switchover, would do if it began now. It reads and writes nothing else.
 * Throws what would refuse it, after printing the plan.
 */
export async function planCommand(options: PlanOptions): Promise<number> {
  const connection = await connect(options);
  try {
    const plan = await planGroup(connection, {
      kind: options.switchover ? 'switchover' : 'failover',
      force: options.force === true,
      ...askedOf(connection, options.to),
    });
    if (options.json) console.log(jsonLine(plan));
    else for (const line of planLines(plan)) console.log(line);
    // That the leader is alive is no flaw of the plan: it is made for when it is lost.
    refuseBy(plan, ['any']);
    return 0;
  } finally {
    connection.close();
  }
}

export function askedOf({ config }: Connection, to: string | undefined): { asked?: RegionId } {
  return to === undefined ? {} : { asked: regionOf(config, to) };
}

/** Throws the first of the refusals that count. */
export function refuseBy(
  { candidates, kind, refusals }: Plan,
  counted: readonly Refusal['stops'][] = ['any', 'operator'],
): void {
  const refusal = refusals.find(({ stops }) => counted.includes(stops));
  if (refusal === undefined) return;
  const verdicts = candidates.map(({ region, why }) => `${region}: ${why}`).join('; ');
  const next =
    refusal.code === 'NO_CANDIDATE'
      ? `Why not: ${verdicts || 'no Region answers'}.`
      : refusal.code === 'FAILOVER_REFUSED'
        ? 'To replace a leader that is alive: understudy switchover --to REGION.'
        : 'See understudy status for what to do next.';
  throw new UnderstudyError(refusal.code, `the ${kind} would be refused: ${refusal.why}`, next);
}

function planLines(plan: Plan): readonly string[] {
  const { calls, candidates, epoch, from, kind, mayDiverge, pullFrom, refusals, rpo, rto, startIn, winner } =
    plan;
  const lines: string[] = [];
  if (epoch !== undefined) {
    lines.push(
      `${kind} from ${from}, epoch ${epoch}, to ${winner ?? 'nobody'}, epoch ${epoch + 1}${startIn ? `; runs in ${startIn}` : ''}`,
    );
  }
  const rows = candidates.map(({ eligible, lastEpoch, lastLsn, appliedLsn, region, why }) => [
    region,
    region === winner ? 'winner' : eligible ? 'eligible' : 'no',
    `${lastEpoch}`,
    `${lastLsn}`,
    `${appliedLsn ?? 'unknown'}`,
    why,
  ]);
  lines.push('', ...table(['Region', 'candidate', 'log epoch', 'log LSN', 'applied LSN', 'why'], rows));
  if (pullFrom.length > 0) lines.push(`It first pulls what only ${pullFrom.join(', ')} holds.`);
  const loss = `${rpo.records ?? 'unknown'} records, ${rpo.ms === undefined ? 'unknown' : secondsOf(rpo.ms)}`;
  const note = kind === 'failover' ? ', if the leader were lost now with all that only it has' : '';
  lines.push('', `Predicted RPO: at most ${loss}${note}`);
  if (mayDiverge) {
    lines.push(
      `${from} goes on writing when its lease is over (onLeaseLost: continue): what it writes then may diverge, and how much nobody can tell.`,
    );
  }
  lines.push(`Predicted RTO: ${rto.ms === undefined ? 'unknown' : secondsOf(rto.ms)}`);
  lines.push(
    ...table(
      ['  phase', 'ms', 'why'],
      rto.phases.map(({ name, ms, why }) => [`  ${name}`, `${ms}`, why]),
    ),
  );
  lines.push('', 'API calls:');
  lines.push(
    ...table(
      ['  step', 'service', 'action', 'Region', 'target', 'what for'],
      calls.map(({ step, service, action, region, target, why }) => [
        `  ${step}`,
        service,
        action,
        region,
        target,
        why,
      ]),
    ),
  );
  lines.push('');
  if (refusals.length === 0) lines.push('Nothing would refuse it.');
  for (const { code, stops, why } of refusals) lines.push(`Would refuse ${STOPPED[stops]}: ${code}: ${why}`);
  return lines;
}

function secondsOf(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
