import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { SCENARIOS, type Scenario } from '#lib/local/drill/drill-report.ts';
import { drillViewOf } from '#lib/local/drill/drill-view.ts';
import { runDrill } from '#lib/local/drill/run-drill.ts';
import type { TelemetryLine } from '#lib/local/drill/timeline.ts';
import { writeReport } from '#lib/local/drill/write-report.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

export type DrillCommandOptions = {
  readonly scenario?: string;
  readonly profile?: string;
  readonly rate?: string;
  readonly json?: boolean;
  readonly out?: string;
};

const REGIONS = ['eu-west-1', 'us-east-1', 'ap-southeast-1'];
const LEADER = parseRegionId('eu-west-1');
const DEFAULT_RATE = 30;
const PROFILES = ['fast', 'balanced', 'cautious'] as const;
/** How long the group is watched before the fault and after it went on, ms. */
const CALM_MS = 3_000;
/** How long a resolver may keep an answer, s, and how long DNS takes to take a change over, ms. */
const TTL_SECONDS = 1;
const PROPAGATION_MS = 100;

/**
 * `understudy start`: a failover drill on an embedded cloud of three Regions and DNS. Exit status 0 if the group came
 * through it whole, 1 if not.
 */
export async function drillCommand(options: DrillCommandOptions): Promise<number> {
  const scenario = oneOf<Scenario>('--scenario', options.scenario ?? 'region-loss', SCENARIOS);
  const profile = oneOf('--profile', options.profile ?? 'fast', PROFILES);
  const rate = Number(options.rate ?? DEFAULT_RATE);
  if (!(rate > 0 && rate <= 1_000))
    throw invalid('--rate', String(options.rate), 'a number of writes from 1 to 1000');

  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt).on('SIGHUP', interrupt);
  const group = parseGroup({
    group: 'demo',
    table: 'orders',
    key: [{ name: 'id', type: 'S' }],
    regions: REGIONS.map((name) => ({ name })),
  });
  const view = drillViewOf({ json: options.json === true, stdout: process.stdout });
  const lines: TelemetryLine[] = [];
  try {
    view.say(`Starting three Regions and DNS, 40 ms apart: scenario ${scenario}, profile ${profile}`);
    await using cloud = await EmbeddedCloud.start({
      group,
      leader: LEADER,
      failover: { profile, ttlSeconds: TTL_SECONDS, propagationMs: PROPAGATION_MS },
      onMessage: ({ message }) => {
        const line = telemetryOf(message);
        if (line !== undefined) lines.push(line);
      },
    });
    interrupted.signal.throwIfAborted();
    const report = await runDrill(cloud, lines, {
      scenario,
      profile,
      leader: LEADER,
      rate,
      calmMs: CALM_MS,
      signal: interrupted.signal,
      onEvent: (event) => view.event(event),
      onStatus: (line) => view.status(line),
    });
    view.report(report, await writeReport(report, options.out ?? '.understudy', Date.now()));
    return report.ok ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    throw error;
  } finally {
    view.close();
  }
}

/** A line of a worker's telemetry that tells an event; metrics have no kind. */
function telemetryOf(message: unknown): TelemetryLine | undefined {
  const { kind, line } = message as { readonly kind?: string; readonly line?: string };
  if (kind !== 'telemetry' || line === undefined) return undefined;
  const told = JSON.parse(line) as TelemetryLine;
  return typeof told.kind === 'string' ? told : undefined;
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw invalid(option, value, `one of ${allowed.join(', ')}`);
  return found;
}

function invalid(option: string, value: string, wanted: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', `${option} ${value} is not ${wanted}`, `Give ${wanted}.`);
}
