import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { openPair } from '#lib/engines/postgres/postgres-pair.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { until } from '../../local/until.ts';
import { intercepted } from '../../support/intercepted-log.ts';
import { E1 } from '../../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { contents, PostgresFollower } from '../../support/postgres-follower.ts';
import { HOME, PostgresLeader } from '../../support/postgres-leader.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const SCHEMA = 'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY)';

const WAITING = `
  SELECT FROM pg_locks l JOIN pg_stat_activity USING (pid)
   WHERE NOT granted AND application_name LIKE 'understudy%' AND datname = current_database()`;

/** A transaction of another user's, begun now, is ended by the server for the setting; so would be any that is as old. */
async function outlast(url: string): Promise<void> {
  const other = await postgres.connect(url);
  // Not `once`, for which the error that comes before is one of its own.
  const ended = new Promise((resolve) => other.once('end', resolve));
  await other.query('BEGIN');
  await ended;
}

describe.each(['transaction_timeout', 'idle_in_transaction_session_timeout'])(
  'a %s of the databases',
  (setting) => {
    async function pair(begins: 'empty' | 'copied') {
      const leader = await PostgresLeader.start(postgres, SCHEMA);
      const follower = await PostgresFollower.start(
        postgres,
        SCHEMA,
        leader.log,
        begins === 'copied' ? leader.connect : undefined,
      );
      // Here a lock may be held for longer, as on a machine that has other things to do.
      follower.waitForLocks(600_000);
      for (const { client } of [leader, follower]) {
        const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
        await client.query(`ALTER DATABASE ${rows[0]!.name} SET ${setting} = '300ms'`);
      }
      const both = async () => {
        for (const { url } of [leader, follower]) await outlast(url);
      };
      /** `work`, which is held up at table t of a database until each has ended others for the setting. */
      const heldUp = async (at: PostgresLeader | PostgresFollower, work: () => Promise<unknown>) => {
        const holder = await postgres.connect(at.url);
        await holder.query(`SET ${setting} = 0; BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE`);
        await holder.query('LOCK TABLE t');
        const working = work();
        working.catch(() => {});
        try {
          await until('it waits', async () => (await at.client.query(WAITING)).rowCount !== 0);
          await both();
        } finally {
          await holder.end();
        }
        await working;
      };
      const expectEqual = async () =>
        expect(await contents(follower.client)).toEqual(await contents(leader.client));
      return { leader, follower, both, heldUp, expectEqual };
    }

    test('ends neither capture in the middle of a transaction, nor apply', async () => {
      const { leader, follower, both, heldUp, expectEqual } = await pair('empty');
      await leader.client.query(`INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) n`);
      let appends = 0;
      const slow = intercepted(leader.log, {
        append:
          (next) =>
          async (...given) => {
            if (++appends === 2) await both();
            return next(...given);
          },
      });
      await leader.capture('streamed', slow);
      expect(appends).toBeGreaterThan(2);
      await heldUp(follower, () => follower.apply());
      await leader.client.query('UPDATE t SET v = $$y$$ WHERE id < 9');
      await captureSource(leader.deps(), LANE_0, leader.source('polled'), new AbortController().signal);
      await follower.apply();
      await expectEqual();
    });

    test('ends no copy, however long either side is held up', async () => {
      const { leader, follower, heldUp, expectEqual } = await pair('copied');
      await leader.client.query(
        'INSERT INTO t SELECT generate_series(1, 1000); INSERT INTO other VALUES (1)',
      );
      await leader.capture();
      await heldUp(follower, () => follower.apply());
      await leader.capture();
      await follower.apply();
      await expectEqual();
    });

    test('ends no comparison', async () => {
      const { leader, follower, both, heldUp } = await pair('empty');
      await leader.client.query('INSERT INTO t SELECT generate_series(1, 100)');
      await leader.capture();
      await follower.apply();
      const opened = await openPair({
        leader: leader.connect,
        follower: follower.connect,
        publication: 'understudy',
        shard: `${HOME}/${leader.slot}`,
        epoch: E1,
        leaderLog: intercepted(leader.log, {
          head: (next) => async (lane) => {
            await leader.capture();
            await follower.apply();
            return next(lane);
          },
        }),
        followerLog: leader.log,
      });
      await both();
      const ours = await opened.ours.buckets();
      await heldUp(follower, async () => expect(await opened.theirs.buckets()).toEqual(ours));
      await opened.close();
    });
  },
);
