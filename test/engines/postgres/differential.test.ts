import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyLog } from '#lib/usecases/apply.ts';
import { intercepted } from '../../support/intercepted-log.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { contents, PostgresFollower } from '../../support/postgres-follower.ts';
import { PostgresLeader } from '../../support/postgres-leader.ts';
import { randomOf, runTransaction, WORKLOAD_SCHEMA } from '../../support/postgres-workload.ts';

/** `SEED=… ROUNDS=… npx vitest run test/engines/postgres/differential.test.ts` repeats a run, or makes it longer. */
const SEED = Number(process.env.SEED ?? 20_261_125);
const ROUNDS = Number(process.env.ROUNDS ?? 20);

/** The applier's connections end in the middle of what they do. */
const CUT_OFF = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE application_name = 'understudy apply' AND datname = current_database()`;

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

test(`a follower equals its leader after each of ${ROUNDS} rounds of whatever (seed ${SEED}), though readers and appliers die`, async () => {
  const random = randomOf(SEED);
  const leader = await PostgresLeader.start(postgres, WORKLOAD_SCHEMA);
  const follower = await PostgresFollower.start(postgres, WORKLOAD_SCHEMA, leader.log, leader.connect);
  for (let round = 0; round < ROUNDS; round++) {
    for (let left = 1 + Math.floor(random() * 12); left > 0; left--)
      await runTransaction(leader.client, random);
    const kind = random() < 0.5 ? 'polled' : 'streamed';
    if (random() < 0.3) {
      // Capture dies between the append and its answer.
      const dying = intercepted(leader.log, {
        append:
          (next) =>
          async (...given) => {
            await next(...given);
            throw new Error('died');
          },
      });
      await leader.capture(kind, dying).catch(() => {});
    }
    await leader.capture(kind);
    if (random() < 0.3) {
      // The applier is cut off while it takes one of its first turns.
      const last = 1 + Math.floor(random() * 3);
      let turns = 0;
      let cut: Promise<unknown> | undefined;
      await applyLog(follower.deps(), () => {
        turns += 1;
        if (turns === last) cut = follower.client.query(CUT_OFF);
        return true;
      }).catch(() => undefined);
      await cut;
      await follower.restart();
    }
    await follower.apply();
    // The first round copies; what was captured since then is applied after it.
    await leader.capture(kind);
    await follower.apply();
    expect(await contents(follower.client), `round ${round} of seed ${SEED}`).toEqual(
      await contents(leader.client),
    );
  }
  const rows = Object.values(await contents(leader.client)).reduce((sum, table) => sum + table.length, 0);
  expect(rows).toBeGreaterThan(20);
}, 600_000);
