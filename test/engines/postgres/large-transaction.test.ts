import { afterAll, beforeAll, expect, test } from 'vitest';
import { carryTransaction, manyRows, wideRows } from '../../soak/large-transaction.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

/** Of a process that is given the transaction piece by piece; its code alone takes about 115 MB. */
const BOUND = 300e6;

test.each([
  ['400,000 rows, by the replication protocol', manyRows(400_000), true],
  ['400,000 rows, by SQL', manyRows(400_000), false],
  ['40 MB in rows of 100 kB', wideRows(400), true],
])('a transaction of %s is in the memory of nobody who captures or applies it', async (_, sql, streams) => {
  const { peakBytes } = await carryTransaction({ leader: postgres, follower: postgres }, sql, streams);
  expect(peakBytes.capture).toBeLessThan(BOUND);
  expect(peakBytes.apply).toBeLessThan(BOUND);
});
