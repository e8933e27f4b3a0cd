import { expect, test } from 'vitest';
import { soakPostgres } from './postgres-soak.ts';

/** A short form of `npm run soak`, with more kills a round. */
const RUN = { rounds: 10, seed: 20_261_125, kills: 4, killRate: 1.2 };

test(`a follower equals its leader after each of ${RUN.rounds} rounds of whatever, though every process is killed, and shows whole transactions only`, async () => {
  const { transactions, altered, told, looks, killed } = await soakPostgres(RUN);
  expect(Math.min(...Object.values(killed))).toBeGreaterThan(0);
  expect(transactions).toBeGreaterThan(2 * RUN.rounds);
  expect(told).toBeGreaterThan(0);
  expect(altered).toBeGreaterThan(0);
  expect(looks).toBeGreaterThan(RUN.rounds);
}, 600_000);
