import { quantile } from '#lib/local/demo/lag-probe.ts';
import type { DrillPhases, DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { playDrill } from '#lib/local/drill/play-drill.ts';
import type { BenchResult } from './result.ts';

type Profile = 'fast' | 'balanced' | 'cautious';

/** Runs of each scenario. */
const RUNS = { loss: 20, switchover: 10, balanced: 3, cautious: 1 } as const;
const RATE = 30;
/** As `npm start` has it. */
const CALM_MS = 3_000;
const PHASES = [
  'detectMs',
  'claimMs',
  'fenceMs',
  'electMs',
  'drainMs',
  'promoteMs',
  'repointMs',
  'firstWriteMs',
] as const;
/** Those of the workflow, from the claim to DNS in sync. */
const WORKFLOW: readonly (keyof DrillPhases)[] = PHASES.slice(1, -1);

/**
 * Failover as a client sees it, through DNS, with 80 ms round trips between Regions: from the last write accepted at
 * the old leader to the first at the new one. Every run is a new embedded cloud. Fails if a drill does.
 */
export async function benchFailover(): Promise<readonly BenchResult[]> {
  const losses = await drills('region-loss', 'fast', RUNS.loss);
  const handovers = await drills('switchover', 'fast', RUNS.switchover);
  const balanced = await drills('region-loss', 'balanced', RUNS.balanced);
  const cautious = await drills('region-loss', 'cautious', RUNS.cautious);
  const ms = (name: string, value: number, goal: string | null = null) => ({ name, value, unit: 'ms', goal });
  const rtos = losses.map(rtoOf);
  return [
    ms('rto-median-ms', median(rtos), '<= 4000'),
    ms('rto-max-ms', Math.max(...rtos), '<= 6000'),
    ms('workflow-median-ms', median(losses.map(workflowOf)), '<= 1500'),
    ...PHASES.map((phase) =>
      ms(`rto-${phase.slice(0, -2)}-median-ms`, median(losses.map(({ phases }) => phases[phase] ?? 0))),
    ),
    ms('rto-balanced-median-ms', median(balanced.map(rtoOf))),
    ms('rto-cautious-median-ms', median(cautious.map(rtoOf))),
    ms('switchover-pause-median-ms', median(handovers.map(({ pauseMs }) => pauseMs)), '<= 500'),
    {
      name: 'switchover-lost-writes',
      value: handovers.reduce((sum, { lost }) => sum + lost, 0),
      unit: 'writes',
      goal: '<= 0',
    },
  ];
}

async function drills(scenario: Scenario, profile: Profile, runs: number): Promise<readonly DrillReport[]> {
  const reports: DrillReport[] = [];
  for (let run = 1; run <= runs; run += 1) {
    const { signal } = new AbortController();
    const report = await playDrill({ scenario, profile, rate: RATE, calmMs: CALM_MS, signal });
    if (!report.ok) throw new Error(`${scenario} failed in run ${run}: ${report.failures.join('; ')}`);
    process.stderr.write(`  ${scenario}, ${profile}, ${run} of ${runs}: ${report.rtoMs} ms\n`);
    reports.push(report);
  }
  return reports;
}

function rtoOf({ rtoMs, scenario }: DrillReport): number {
  if (rtoMs === null) throw new Error(`nobody took over in ${scenario}`);
  return rtoMs;
}

function workflowOf({ phases }: DrillReport): number {
  return WORKFLOW.reduce((sum, phase) => sum + (phases[phase] ?? 0), 0);
}

function median(values: readonly number[]): number {
  return quantile(values, 0.5) ?? Number.NaN;
}
