import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PostgresDigest } from '#lib/engines/postgres/postgres-digest.ts';
import { openPair, type PairDeps } from '#lib/engines/postgres/postgres-pair.ts';
import { verifyAtLsn } from '#lib/usecases/verify-at-lsn.ts';
import { intercepted } from '../../support/intercepted-log.ts';
import { E1 } from '../../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { PostgresFollower } from '../../support/postgres-follower.ts';
import { HOME, PostgresLeader } from '../../support/postgres-leader.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'so so');
  CREATE TABLE t (id int PRIMARY KEY, v text);
  CREATE TABLE "K" (at timestamptz, "a b" text, m mood, v int, PRIMARY KEY ("a b", m, at));
  CREATE TABLE f (id int PRIMARY KEY, v text); ALTER TABLE f REPLICA IDENTITY FULL;
  CREATE TABLE bare (x int); ALTER TABLE bare REPLICA IDENTITY FULL;
  CREATE TABLE i (id int PRIMARY KEY, other int NOT NULL UNIQUE); ALTER TABLE i REPLICA IDENTITY USING INDEX i_other_key`;
const ROWS = `
  INSERT INTO t SELECT n, 'v' || n FROM generate_series(1, 300) n;
  INSERT INTO "K" VALUES ('2026-01-01 10:00+02', 'a,"b\\', 'so so', 1), ('2026-01-02Z', '', 'sad', 2);
  INSERT INTO f SELECT n, 'v' FROM generate_series(1, 9) n; INSERT INTO bare VALUES (1), (1), (2); INSERT INTO i VALUES (1, 10), (2, 20)`;

async function pair(schema = SCHEMA) {
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema, leader.log);
  const replicate = async () => {
    await leader.capture();
    await follower.apply();
  };
  const captured = intercepted(leader.log, {
    head: (next) => async (lane) => {
      await leader.capture();
      return next(lane);
    },
  });
  const open = (deps: Partial<PairDeps>) =>
    openPair({
      leader: leader.connect,
      follower: follower.connect,
      publication: 'understudy',
      shard: `${HOME}/${leader.slot}`,
      epoch: E1,
      leaderLog: captured,
      followerLog: leader.log,
      patienceMs: 0,
      ...deps,
    });
  /** @param between what happens between the look at the leader and that at the follower, time after time. */
  const verify = (rechecks = 3, ...between: readonly (() => Promise<unknown>)[]) => {
    let looks = 0;
    const look = () => {
      let connections = 0;
      const meanwhile = between[looks++];
      return open({
        follower: async (options) => {
          if (connections++ === 0) {
            await follower.apply();
            await meanwhile?.();
          }
          return follower.connect(options);
        },
      });
    };
    return verifyAtLsn(look, { rechecks, pause: async () => {} });
  };
  return { leader, follower, replicate, open, verify };
}

describe('a leader and a follower, read at one LSN', () => {
  test('are equal, and keep nothing at the leader', async () => {
    const { leader, verify } = await pair();
    await leader.client.query(ROWS);
    const result = await verify();
    expect(result).toMatchObject({ equal: true, rows: 316, rechecked: 0, strays: [] });
    expect(result.lsn).toBeGreaterThan(300n);
    const { rows } = await leader.client.query(
      'SELECT slot_name FROM pg_replication_slots WHERE database = current_database()',
    );
    expect(rows).toEqual([{ slot_name: leader.slot }]);
  });

  test('are compared there, whatever the follower has applied since: by key, however it is written', async () => {
    const { leader, replicate, verify } = await pair();
    await leader.client.query(ROWS);
    const result = await verify(3, async () => {
      await leader.client.query(`
        UPDATE t SET v = 'new' WHERE id <= 5; DELETE FROM t WHERE id = 6; INSERT INTO t VALUES (1000, 'new'); UPDATE t SET id = 2000 WHERE id = 7;
        UPDATE "K" SET v = 3; UPDATE f SET v = 'new' WHERE id < 3; DELETE FROM bare WHERE x = 1; UPDATE i SET id = 3 WHERE other = 20`);
      await replicate();
    });
    expect(result).toMatchObject({ equal: true, changing: 0, differing: 0 });
    // Of t: five, a deleted one, a new one, one under two keys; then "K" and f by key, and what differs of bare and of i.
    expect(result.rechecked).toBe(9 + 2 + 2 + 1 + 2);
    expect(result.recheckedAt).toBeGreaterThan(result.lsn);
  });

  test('differ by name, also where the log has changed the row since', async () => {
    const { leader, follower, replicate, verify } = await pair();
    await leader.client.query(ROWS);
    await replicate();
    await follower.client.query(`UPDATE t SET v = 'hand' WHERE id = 1; DELETE FROM t WHERE id = 2`);
    const result = await verify(3, async () => {
      await leader.client.query(`UPDATE t SET v = 'new' WHERE id IN (3, 4, 5)`);
      await replicate();
      // As if it had never arrived; as if it had been lost.
      await follower.client.query(`UPDATE t SET v = 'v3' WHERE id = 3; DELETE FROM t WHERE id = 4`);
    });
    expect(result.differences.toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([
      { key: 'public.t {1}', kind: 'differs' },
      { key: 'public.t {2}', kind: 'missing' },
      { key: 'public.t {3}', kind: 'differs' },
      { key: 'public.t {4}', kind: 'missing' },
    ]);
    expect(result.rechecked).toBe(2);
  });

  test('are equal under writes that do not end, and the rows that change at each look are counted', async () => {
    const { leader, replicate, verify } = await pair();
    await leader.client.query(ROWS);
    const write = async () => {
      await leader.client.query(
        `UPDATE t SET v = v || 'x' WHERE id = 1; DELETE FROM bare; INSERT INTO bare VALUES (3)`,
      );
      await replicate();
    };
    expect(await verify(2, write, write, write)).toMatchObject({ equal: true, changing: 1 });
  });

  test('are parted exactly: what the leader commits once the position is known is in the log after it, and not in its rows', async () => {
    const { leader, follower, open } = await pair();
    await leader.client.query(ROWS);
    const keys = ['public.t {1}', 'public.t {2}', 'public.t {301}'];
    const before = await new PostgresDigest(leader.connect).recheck(keys);
    let connections = 0;
    const { ours, changes, close } = await open({
      leader: async (options) => {
        // The slot is there, the transaction is not.
        if (++connections === 2)
          await leader.client.query(
            `UPDATE t SET v = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (301)`,
          );
        return leader.connect(options);
      },
      follower: async (options) => {
        await follower.apply();
        return follower.connect(options);
      },
    });
    expect(await ours.recheck(keys)).toEqual(before);
    expect(Object.fromEntries((await changes()).rows)).toEqual({
      'public.t {1}': 'there',
      'public.t {2}': 'gone',
      'public.t {301}': 'there',
    });
    await close();
  });

  test('are not taken to differ for a TRUNCATE that comes after, which a snapshot can not keep out', async () => {
    const { leader, verify } = await pair();
    await leader.client.query(ROWS);
    expect(await verify(1, () => leader.client.query('TRUNCATE t'))).toMatchObject({
      equal: true,
      rechecked: 300,
      changing: 0,
    });
  });

  test('are not compared while the follower, or the log, does not come to where the leader is', async () => {
    const { leader, follower, open } = await pair();
    await leader.client.query(ROWS);
    await expect(open({ leaderLog: leader.log })).rejects.toMatchObject({ code: 'VERIFY_BEHIND' });
    await expect(open({})).rejects.toMatchObject({
      code: 'VERIFY_BEHIND',
      message: expect.stringMatching(/at 0, and the leader was at \d+/),
    });
    await follower.apply();
    await (await open({})).close();
  });

  test("tell of tables that are the follower's alone, once what was in them is applied", async () => {
    const { leader, follower, replicate, verify } = await pair();
    await leader.client.query(
      `DROP PUBLICATION understudy; CREATE PUBLICATION understudy FOR TABLE t, f, bare WITH (publish_via_partition_root = true)`,
    );
    await leader.client.query(
      'INSERT INTO t VALUES (1); INSERT INTO f VALUES (1); INSERT INTO bare VALUES (1)',
    );
    await replicate();
    // Neither was ever replicated.
    await follower.client.query('INSERT INTO i VALUES (1, 1); CREATE TABLE early (id int)');
    await leader.client.query(
      'INSERT INTO f VALUES (2); DROP TABLE f; ALTER PUBLICATION understudy DROP TABLE bare',
    );
    const { equal, strays } = await verify();
    expect(equal).toBe(true);
    expect(strays).toEqual([
      { table: 'public.bare', what: expect.stringContaining('no longer publishes'), fix: expect.any(String) },
      { table: 'public.early', what: expect.stringContaining('none yet'), fix: expect.any(String) },
      { table: 'public.f', what: 'the leader has dropped it', fix: 'Here: DROP TABLE "public"."f";' },
    ]);
    await follower.client.query('DROP TABLE f, early, bare');
    expect((await verify()).strays).toEqual([]);
    await leader.client.query('INSERT INTO t VALUES (2)');
    await replicate();
  });

  test('tell a table that the leader has renamed from one that it has dropped', async () => {
    const { leader, follower, replicate, verify } = await pair();
    await leader.client.query(
      `INSERT INTO t VALUES (1); INSERT INTO f VALUES (1); INSERT INTO "K" VALUES (now(), '', 'sad')`,
    );
    await replicate();
    await leader.client.query(
      'CREATE SCHEMA s; ALTER TABLE t RENAME TO "T"; ALTER TABLE f SET SCHEMA s; DROP TABLE "K"',
    );
    const { strays } = await verify();
    expect(strays.map(({ what }) => what)).toEqual([
      'the leader has dropped it',
      'the leader calls it s.f now',
      'the leader calls it public."T" now',
    ]);
    await follower.client.query(
      `CREATE SCHEMA s; ${strays.map(({ fix }) => fix.slice('Here: '.length)).join(' ')}`,
    );
    expect(await verify()).toMatchObject({ equal: true, strays: [] });
  });
});
