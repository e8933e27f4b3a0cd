import { parseArgs } from 'node:util';
import { soakPostgres } from './postgres-soak.ts';

const USAGE = 'npm run soak -- [--engine postgres] [--rounds N] [--seed S]';

/** `npm run soak`: a leader and a follower under random work and kills, compared after each round. */
const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'postgres' },
    rounds: { type: 'string', default: '200' },
    seed: { type: 'string', default: `${Date.now() % 1_000_000}` },
  },
});
const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
if (values.engine !== 'postgres' || !(Number.isInteger(rounds) && rounds > 0) || !Number.isInteger(seed)) {
  process.stderr.write(`The engine is postgres, rounds and seed are whole numbers. ${USAGE}\n`);
  process.exit(2);
}
const began = performance.now();
const seconds = () => Math.round((performance.now() - began) / 1000);
const replay = `npm run soak -- --engine postgres --rounds ${rounds} --seed ${seed}`;
process.stderr.write(`seed ${seed}; replay: ${replay}\n`);
try {
  const result = await soakPostgres({
    rounds,
    seed,
    onRound(round) {
      if (round % 20 === 0) process.stderr.write(`${round} of ${rounds} rounds, ${seconds()} s\n`);
    },
  });
  const { transactions, altered, told, killed } = result;
  const kills = Object.entries(killed).map(([victim, count]) => `${victim} ${count}`);
  console.log(
    `${rounds} rounds of seed ${seed}: after each the follower equalled its leader. ${transactions} transactions, ` +
      `${altered} changes of schema (${told} times the follower was told what to run), kills: ${kills.join(', ')}; ${seconds()} s`,
  );
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\nreplay: ${replay}\n`);
  process.exitCode = 1;
}
