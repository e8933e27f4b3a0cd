import { runSeed } from '../test/sim/run-seed.ts';
import type { BenchResult } from './result.ts';

/**
 * How fast the simulator is: simulated hours of a whole group per second of one core's time, garbage collection and all.
 * Long runs, whose days are mostly quiet, and hours that are dense with faults, as in `npm test`. The goal is what 200 seeds
 * of 24 h need to end in 6 minutes on two cores.
 */
export async function benchSim(): Promise<readonly BenchResult[]> {
  // Calls fail by the thousand, and nobody reads where from.
  Error.stackTraceLimit = 0;
  await perCoreSecond({ seeds: 2, hours: 1 });
  return [
    row('simulated-hours-per-core-second', await perCoreSecond({ seeds: 6, hours: 24 }), '>= 7'),
    row('simulated-hours-per-core-second-dense', await perCoreSecond({ seeds: 20, hours: 1 }), null),
  ];
}

function row(name: string, value: number, goal: string | null): BenchResult {
  return { name, value, unit: 'h/s', goal };
}

async function perCoreSecond({ seeds, hours }: { seeds: number; hours: number }): Promise<number> {
  const before = process.cpuUsage();
  let simulated = 0;
  for (let seed = 1; seed <= seeds; seed += 1) {
    const result = await runSeed({ seed, hours });
    if (result.violation !== undefined) throw new Error(`seed ${seed} broke off: ${result.violation.text}`);
    simulated += result.hours;
  }
  const { user, system } = process.cpuUsage(before);
  return simulated / ((user + system) / 1e6);
}
