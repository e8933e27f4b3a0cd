import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { BUGS } from './bugs.ts';
import { runAll } from './pool.ts';
import { type Result, runSeed } from './run-seed.ts';

const USAGE = 'npm run sim -- [--seeds N] [--hours H] [--first SEED] [--bug NAME] [--trace]';

/** `npm run sim`: runs seeds on all cores, with progress; a seed that fails is told with the command that replays it. */
const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    hours: { type: 'string', default: '1' },
    first: { type: 'string', default: '1' },
    bug: { type: 'string' },
    trace: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});
const number = (name: 'seeds' | 'hours' | 'first') => {
  const value = Number(values[name]);
  if (Number.isFinite(value) && value > 0) return value;
  process.stderr.write(`--${name} ${values[name]} is not a number above 0. ${USAGE}\n`);
  process.exit(2);
};
const [seeds, hours, first] = [number('seeds'), number('hours'), number('first')];
const { bug } = values;
if (bug !== undefined && !BUGS.some(({ name }) => name === bug)) {
  process.stderr.write(`There is no bug ${bug}. There are: ${BUGS.map(({ name }) => name).join(', ')}.\n`);
  process.exit(2);
}

const failed: Result[] = [];
const began = performance.now();
const jobs = Array.from({ length: seeds }, (_, index) => ({ seed: first + index, hours, bug }));
let done = 0;
let simulated = 0;
let events = 0;
const take = (result: Result) => {
  done += 1;
  simulated += result.hours;
  events += result.events;
  if (result.violation !== undefined) tell(result);
  if (done % Math.max(1, Math.floor(seeds / 20)) === 0 && !values.trace) {
    process.stderr.write(`${done} of ${seeds} seeds, ${Math.round(simulated)} simulated hours\n`);
  }
  return true;
};

if (values.trace) for (const job of jobs) take(await runSeed({ ...job, trace: (line) => console.log(line) }));
else await runAll(jobs, take);

const cores = values.trace ? 1 : Math.min(availableParallelism(), seeds);
const perCoreSecond = simulated / (((performance.now() - began) / 1000) * cores);
if (values.json) {
  const violations = failed.map(({ seed, violation }) => ({ seed, ...violation }));
  console.log(
    JSON.stringify({ kind: 'sim', seeds, simulatedHours: simulated, events, perCoreSecond, violations }),
  );
} else {
  console.log(
    `${done - failed.length} of ${seeds} seeds kept every invariant: ${simulated.toFixed(0)} simulated hours, ${events} events, ${perCoreSecond.toFixed(1)} simulated hours a core-second`,
  );
}
process.exitCode = failed.length > 0 ? 1 : 0;

function tell(result: Result): void {
  failed.push(result);
  const { seed, violation } = result;
  const broken = bug === undefined ? '' : ` --bug ${bug}`;
  process.stderr.write(
    `seed ${seed} broke invariant ${violation?.invariant} after ${result.hours.toFixed(3)} h: ${violation?.text}\n` +
      `  replay: npm run sim -- --seeds 1 --first ${seed} --hours ${hours}${broken} --trace\n`,
  );
}
