import { parseArgs } from 'node:util';
import { soakPostgres } from './postgres-soak.ts';

const USAGE = 'npm run soak -- [--engine postgres] [--rounds N] [--seed S] [--kills K] [--kill-rate R]';

/** `npm run soak`: a leader and a follower under random work and kills, compared after each round. */
const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'postgres' },
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
    kills: { type: 'string', default: `${Date.now() % 1_000_000}` },
    // Kills a round.
    'kill-rate': { type: 'string', default: '0.25' },
  },
});
const killRate = Number(values['kill-rate']);
const [rounds, seed, kills] = [Number(values.rounds), Number(values.seed), Number(values.kills)];
const areWhole = [rounds, seed, kills].every(Number.isInteger);
if (values.engine !== 'postgres' || !areWhole || rounds < 1 || !(killRate >= 0 && killRate <= 2)) {
  process.stderr.write(
    `The engine is postgres; rounds, seed and kills are whole numbers, the rate is from 0 to 2. ${USAGE}\n`,
  );
  process.exit(2);
}
const began = performance.now();
const seconds = () => Math.round((performance.now() - began) / 1000);
const replay = `npm run soak -- --engine postgres --rounds ${rounds} --seed ${seed} --kills ${kills} --kill-rate ${killRate}`;
process.stderr.write(`seed ${seed}, kills ${kills}; replay: ${replay}\n`);
try {
  const result = await soakPostgres({
    rounds,
    seed,
    kills,
    killRate,
    onRound(round) {
      if (round % 20 === 0) process.stderr.write(`${round} of ${rounds} rounds, ${seconds()} s\n`);
    },
  });
  const { transactions, altered, told, looks, killed } = result;
  const ends = Object.entries(killed).map(([victim, count]) => `${victim} ${count}`);
  console.log(
    `${rounds} rounds of seed ${seed}: after each the follower equalled its leader. ${transactions} transactions, ` +
      `${altered} changes of schema (${told} times the follower was told what to run), ` +
      `kills: ${ends.join(', ')}; readers found all the money ${looks} times; ${seconds()} s`,
  );
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\nreplay: ${replay}\n`);
  process.exitCode = 1;
}
