import { type Register, registerOf } from '#lib/constructs/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { type EngineConfig, parseGroup } from '#lib/domain/topology.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import type { DrillEvent, DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { runDrill } from '#lib/local/drill/run-drill.ts';
import type { TelemetryLine } from '#lib/local/drill/timeline.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

export const DRILL_REGIONS: readonly RegionId[] = ['eu-west-1', 'us-east-1', 'ap-southeast-1'].map(
  parseRegionId,
);
/** Regions that one MRSC table can span. */
const NEAR_REGIONS: readonly RegionId[] = ['eu-west-1', 'eu-central-1', 'eu-west-3'].map(parseRegionId);
const ORDERS: EngineConfig = { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] };
const LEADER = DRILL_REGIONS[0]!;
/** How long a resolver may keep an answer, s, and how long DNS takes to take a change over, ms. */
const TTL_SECONDS = 1;
const PROPAGATION_MS = 100;

/** A drill on an embedded cloud of three Regions and DNS of its own, 40 ms apart each way. */
export async function playDrill(options: {
  readonly scenario: Scenario;
  readonly profile: 'fast' | 'balanced' | 'cautious';
  /** How DNS moves, and how often health checks ask, ms: without it, as Route 53's do. Default: `control-plane`. */
  readonly flip?: 'control-plane' | 'data-plane';
  readonly healthIntervalMs?: number;
  /** What the Regions agree by. Default: `quorum`. With `mrsc`, they are three of one Region set. */
  readonly register?: Register;
  /** Writes a second. */
  readonly rate: number;
  /** How long the group is watched before the fault and after it went on, ms. */
  readonly calmMs: number;
  /** What is replicated: without it, a table of orders. `schema` makes the tables of databases. */
  readonly engine?: EngineConfig;
  readonly schema?: string;
  /** A file of SQL with more tables, and their rows. */
  readonly sqlFile?: string;
  /** Items that the table holds before the drill begins. */
  readonly load?: AsyncIterable<Write>;
  readonly onEvent?: (event: DrillEvent) => void;
  readonly onStatus?: (line: string) => void;
  /** Called with the cloud as the drill leaves it, before it is stopped. */
  readonly atEnd?: (cloud: EmbeddedCloud, report: DrillReport) => Promise<void>;
  readonly signal: AbortSignal;
}): Promise<DrillReport> {
  const {
    calmMs,
    engine = ORDERS,
    flip,
    healthIntervalMs,
    load,
    onEvent = () => {},
    onStatus = () => {},
    profile,
    rate,
    register = 'quorum',
    scenario,
    schema,
    signal,
    sqlFile,
  } = options;
  const group = parseGroup({
    group: 'demo',
    engine,
    regions: (register === 'mrsc' ? NEAR_REGIONS : DRILL_REGIONS).map((name) => ({ name })),
    register: registerOf(register, parseGroupId('demo')),
  });
  const lines: TelemetryLine[] = [];
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: LEADER,
    ...(schema !== undefined && { schema }),
    ...(sqlFile !== undefined && { sqlFile }),
    failover: {
      profile,
      ttlSeconds: TTL_SECONDS,
      propagationMs: PROPAGATION_MS,
      ...(flip && { flip }),
      ...(healthIntervalMs && { healthIntervalMs }),
    },
    onStep: (step) => onStatus(`Coming up: ${step}`),
    signal,
    onMessage: ({ message }) => {
      const line = telemetryOf(message);
      if (line !== undefined) lines.push(line);
    },
  });
  const report = await runDrill(cloud, lines, {
    scenario,
    profile,
    leader: LEADER,
    rate,
    calmMs,
    ...(load && { load }),
    signal,
    onEvent,
    onStatus,
  });
  await options.atEnd?.(cloud, report);
  return report;
}

/** A line of a worker's telemetry that tells an event; metrics have no kind. */
export function telemetryOf(message: unknown): TelemetryLine | undefined {
  const { kind, line } = message as { readonly kind?: string; readonly line?: string };
  if (kind !== 'telemetry' || line === undefined) return undefined;
  const told = JSON.parse(line) as TelemetryLine;
  return typeof told.kind === 'string' ? told : undefined;
}
