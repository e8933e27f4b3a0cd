import { once } from 'node:events';
import { demoEngineOf, type EngineOptions } from '#lib/cli/demo-engine.ts';
import { endpointLines } from '#lib/cli/endpoint-lines.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type EngineConfig, parseGroup } from '#lib/domain/topology.ts';
import { type Report, replicate } from '#lib/local/demo/replicate.ts';
import { JsonView, PlainView, TerminalView, type View } from '#lib/local/demo/view.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

export type StartOptions = EngineOptions & {
  readonly seconds?: string;
  readonly rate?: string;
  readonly keep?: boolean;
  readonly json?: boolean;
};

const REGIONS = ['eu-west-1', 'us-east-1', 'ap-southeast-1'];
const LEADER = parseRegionId('eu-west-1');
const DEFAULT_SECONDS = 15;
const DEFAULT_RATE = 50;
/** Time between two frames, ms: a terminal is drawn over, lines pile up. */
const DRAWN_MS = 500;
const LINES_MS = 1_000;

/**
 * `understudy start`: an embedded cloud of three Regions, a client that writes to the leader's store, a live
 * view, and at the end a comparison of all replicas. Exit status 0 if they are equal, 1 if not.
 */
export async function startCommand(options: StartOptions): Promise<number> {
  const rate = numberOf('--rate', options.rate, DEFAULT_RATE);
  // A file alone is loaded alone; synthetic writes on top of a user's items are for who asks for them.
  const seconds = numberOf('--seconds', options.seconds, options.load === undefined ? DEFAULT_SECONDS : 0);
  const view = viewOf(options);
  const { engine, load, schema, sqlFile } = await demoEngineOf(options, (line) => view.say(line));

  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt).on('SIGHUP', interrupt);
  const group = parseGroup({
    group: 'demo',
    engine,
    regions: REGIONS.map((name) => ({ name })),
  });
  view.say('Starting three Regions, 40 ms apart');
  try {
    await using cloud = await EmbeddedCloud.start({
      group,
      leader: LEADER,
      ...(schema !== undefined && { schema }),
      ...(sqlFile !== undefined && { sqlFile }),
      signal: interrupted.signal,
    });
    const report = await replicate(
      cloud,
      { epoch: parseEpoch(1), leader: LEADER },
      {
        rate,
        seconds,
        frameMs: options.json || !process.stdout.isTTY ? LINES_MS : DRAWN_MS,
        ...(load && { load: load() }),
      },
      view,
      interrupted.signal,
    );
    if (options.json && !options.keep) console.log(JSON.stringify(report));
    else if (!options.json) for (const line of reportLines(report, engine)) view.say(line);
    if (options.keep) {
      for (const line of endpointLines(cloud, LEADER, options.json === true)) console.log(line);
      if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort');
      if (options.json) console.log(JSON.stringify(report));
    }
    return report.ok ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted && !isFailure(error)) return 130;
    throw error;
  }
}

function viewOf(options: StartOptions): View {
  if (options.json) return new JsonView(process.stdout);
  return process.stdout.isTTY ? new TerminalView(process.stdout) : new PlainView(process.stdout);
}

const WORDS = {
  dynamodb: { rows: 'items', store: 'table' },
  postgres: { rows: 'rows', store: 'database' },
} as const;

function reportLines(report: Report, engine: EngineConfig): readonly string[] {
  const { records, failedWrites, items, digestsEqual, digests, lagMs, torn } = report;
  const { rows, store } = WORDS[engine.kind];
  const ms = (value: number | undefined) =>
    value === undefined ? 'not measured' : `${Math.round(value)} ms`;
  return [
    `${records} writes acknowledged by the leader${failedWrites > 0 ? `, ${failedWrites} failed` : ''}; ${items} ${rows} in the ${store}`,
    `lag from the client's write to the follower's ${store}: p50 ${ms(lagMs.p50)}, p99 ${ms(lagMs.p99)}`,
    ...Object.entries(digests).map(([region, digest]) => `digest of ${region}: ${digest.slice(0, 32)}…`),
    ...torn.slice(0, 3),
    digestsEqual
      ? `All replicas hold the same ${rows}.`
      : 'The replicas differ: see understudy verify and docs/RUNBOOK.md#replicas_differ.',
  ];
}

function numberOf(name: string, text: string | undefined, standard: number): number {
  if (text === undefined) return standard;
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0 && value <= 100_000) return value;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${name} ${text} is not valid`,
    'Give a number from 0 to 100000.',
  );
}
