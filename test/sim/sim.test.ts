import { describe, expect, test } from 'vitest';
import { BUGS } from './bugs.ts';
import { runAll } from './pool.ts';
import { type Result, runSeed } from './run-seed.ts';

const SEEDS = 200;
/** Seeds that are tried for a bug beyond those that are known to find it. */
const MORE_SEEDS = 40;

/** Runs seeds one after the other for `bug` until one finds it. */
async function findBug(bug: string, seeds: readonly number[]): Promise<Result | undefined> {
  for (const seed of seeds) {
    const result = await runSeed({ seed, hours: 1, bug });
    if (result.violation !== undefined) return result;
  }
  return undefined;
}

const told = ({ seed, violation }: Result) =>
  `seed ${seed}, invariant ${violation?.invariant}: ${violation?.text}; ${replayOf(seed)}`;

const replayOf = (seed: number, bug?: string) =>
  `npm run sim -- --seeds 1 --first ${seed}${bug === undefined ? '' : ` --bug ${bug}`} --trace`;

describe('the control path, simulated', () => {
  test(`keeps every invariant in ${SEEDS} groups of one hour each, dense with faults`, {
    timeout: 300_000,
  }, async () => {
    const results: Result[] = [];
    const jobs = Array.from({ length: SEEDS }, (_, index) => ({ seed: index + 1, hours: 1 }));
    await runAll(jobs, (result) => {
      results.push(result);
      return true;
    });
    const broken = results.filter(({ violation }) => violation !== undefined);
    expect(broken.map(told)).toEqual([]);
    // A run in which nothing happens proves nothing.
    expect(results.filter(({ counts }) => counts.failovers > 0).length).toBeGreaterThan(SEEDS * 0.9);
    for (const what of ['lost', 'divergent', 'transactions', 'late', 'lags', 'looks'] as const) {
      const count = results.reduce((sum, { counts }) => sum + counts[what], 0);
      expect(count, what).toBeGreaterThan(0);
    }
  });

  test('is the same run for the same seed, line by line', async () => {
    const lines = async () => {
      const trace: string[] = [];
      await runSeed({ seed: 3, hours: 0.2, trace: (line) => trace.push(line) });
      return trace;
    };
    const first = await lines();
    expect(first.length).toBeGreaterThan(1_000);
    expect(await lines()).toEqual(first);
  });
});

describe('a seeded bug is found, by a seed that the sound code passes', () => {
  test('there are at least 15', () => {
    expect(new Set(BUGS.map(({ name }) => name)).size).toBeGreaterThanOrEqual(15);
  });

  for (const { name, breaks, seeds } of BUGS) {
    test(`${name}: ${breaks}`, { timeout: 120_000 }, async () => {
      const more = Array.from({ length: MORE_SEEDS }, (_, index) => index + 1);
      const found = await findBug(name, [...seeds, ...more]);
      expect(found?.violation, `no seed found it; ${replayOf(seeds[0] ?? 1, name)}`).toBeDefined();
      // The first of them are known to be sound by the test above.
      if (found!.seed <= SEEDS) return;
      const sound = await runSeed({ seed: found!.seed, hours: 1 });
      expect(sound.violation, `without ${name}; ${replayOf(sound.seed)}`).toBeUndefined();
    });
  }
});
