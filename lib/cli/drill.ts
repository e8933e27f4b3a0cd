import { once } from 'node:events';
import { demoEngineOf, type EngineOptions } from '#lib/cli/demo-engine.ts';
import { Register } from '#lib/constructs/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type DrillReport, SCENARIOS, type Scenario } from '#lib/local/drill/drill-report.ts';
import { drillViewOf } from '#lib/local/drill/drill-view.ts';
import { playDrill } from '#lib/local/drill/play-drill.ts';
import { writeReport } from '#lib/local/drill/write-report.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';

export type DrillCommandOptions = EngineOptions & {
  readonly scenario?: string;
  readonly profile?: string;
  readonly flip?: string;
  readonly register?: string;
  readonly rate?: string;
  readonly json?: boolean;
  readonly out?: string;
  readonly keep?: boolean;
};

const DEFAULT_RATE = 30;
const PROFILES = ['fast', 'balanced', 'cautious'] as const;
const FLIPS = ['control-plane', 'data-plane'] as const;
const REGISTERS = Object.values(Register);
/** How long the group is watched before the fault and after it went on, ms. */
const CALM_MS = 3_000;
/**
 * `understudy start`: a failover drill on an embedded cloud of three Regions and DNS. Exit status 0 if the group came
 * through it whole, 1 if not.
 */
export async function drillCommand(options: DrillCommandOptions): Promise<number> {
  const scenario = oneOf<Scenario>('--scenario', options.scenario ?? 'region-loss', SCENARIOS);
  const profile = oneOf('--profile', options.profile ?? 'fast', PROFILES);
  const flip = oneOf('--flip', options.flip ?? 'control-plane', FLIPS);
  const register = oneOf('--register', options.register ?? Register.quorum, REGISTERS);
  const rate = Number(options.rate ?? DEFAULT_RATE);
  if (!(rate > 0 && rate <= 1_000))
    throw invalid('--rate', String(options.rate), 'a number of writes from 1 to 1000');

  const view = drillViewOf({ json: options.json === true, stdout: process.stdout });
  const { engine, load, schema, sqlFile } = await demoEngineOf(options, (line) => view.say(line));

  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt).on('SIGHUP', interrupt);
  try {
    view.say(`Starting three Regions and DNS, 40 ms apart: scenario ${scenario}, profile ${profile}`);
    let isTold = false;
    const tell = async (report: DrillReport) => {
      if (isTold) return;
      isTold = true;
      view.report(report, await writeReport(report, options.out ?? '.understudy', Date.now()));
    };
    const report = await playDrill({
      scenario,
      profile,
      flip,
      register,
      rate,
      calmMs: CALM_MS,
      engine,
      ...(schema !== undefined && { schema }),
      ...(sqlFile !== undefined && { sqlFile }),
      ...(load && { load: load() }),
      signal: interrupted.signal,
      onEvent: (event) => view.event(event),
      onStatus: (line) => view.status(line),
      ...(options.keep && {
        atEnd: async (cloud, report) => {
          // In JSON, the report is the last line.
          if (!options.json) await tell(report);
          for (const line of keptLines(cloud, report)) view.say(line);
          if (!interrupted.signal.aborted) await once(interrupted.signal, 'abort');
        },
      }),
    });
    await tell(report);
    return report.ok ? 0 : 1;
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    throw error;
  } finally {
    view.close();
  }
}

/** What to do with a cloud that is left running. */
function keptLines({ file, group }: EmbeddedCloud, { leader }: DrillReport): readonly string[] {
  const next = group.regions.find(({ name }) => name !== leader)!.name;
  return [
    '',
    'The Regions stay up until Ctrl-C. In another terminal:',
    '  npm run -s understudy -- status                        who leads, and what to do next',
    '  npm run -s understudy -- plan                          what a failover would do now',
    `  npm run -s understudy -- ${`switchover --to ${next}`.padEnd(28)}  hand the group over`,
    '  npm run -s understudy -- history | divergence show | doctor | lag | verify | log ls',
    `The group is described by ${file}`,
  ];
}

function oneOf<T extends string>(option: string, value: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found === undefined) throw invalid(option, value, `one of ${allowed.join(', ')}`);
  return found;
}

function invalid(option: string, value: string, wanted: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', `${option} ${value} is not ${wanted}`, `Give ${wanted}.`);
}
