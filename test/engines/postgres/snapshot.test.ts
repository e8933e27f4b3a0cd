import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { until } from '../../local/until.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { contents, PostgresFollower } from '../../support/postgres-follower.ts';
import { PostgresLeader } from '../../support/postgres-leader.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const SCHEMA = `
  CREATE TABLE account (id int PRIMARY KEY, owner text UNIQUE, balance int NOT NULL, note text);
  ALTER TABLE account ALTER note SET STORAGE EXTERNAL;
  CREATE TABLE entry (account int REFERENCES account, amount int);
  CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY HASH (id);
  CREATE TABLE part0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
  CREATE TABLE part1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
  CREATE TABLE nothing ();`;

const FILL = `
  INSERT INTO account SELECT n, 'o' || n, 100, repeat('x', 3000) FROM generate_series(1, 300) n;
  INSERT INTO entry SELECT n, 1 FROM generate_series(1, 300) n; INSERT INTO part SELECT n, 'v' FROM generate_series(1, 99) n`;

/** Transactions that move money, trade unique names, change keys, write and empty a table without a key. */
async function load(
  leader: PostgresLeader,
  signal: AbortSignal,
  progress: { rounds: number },
): Promise<void> {
  const client = await postgres.connect(leader.url);
  while (!signal.aborted) {
    const done = progress.rounds;
    const [a, b] = [1 + (done % 150), 151 + ((done * 7) % 150)];
    await client.query(`
      BEGIN; UPDATE account SET balance = balance - 1 WHERE id = ${a}; UPDATE account SET balance = balance + 1 WHERE id = ${b};
      INSERT INTO entry VALUES (${a}, -1), (${b}, 1); COMMIT`);
    await client.query(`
      BEGIN; UPDATE account SET owner = 'free' WHERE id = ${a}; UPDATE account SET owner = (SELECT 'x' || ${done}) WHERE id = ${b};
      UPDATE account SET owner = 'y' || ${done} WHERE id = ${a}; COMMIT`);
    await client.query(
      `UPDATE part SET id = id + 1000 WHERE id = ${done % 99}; INSERT INTO part VALUES (${5000 + done})`,
    );
    if (done === 5) await client.query('TRUNCATE entry');
    progress.rounds += 1;
  }
  await client.end();
}

/** Two tables that refer to each other, one that refers to itself, and one whose rows go with those of another. */
const TANGLED = `
  CREATE TABLE z (id int PRIMARY KEY, a int);
  CREATE TABLE a (id int PRIMARY KEY, z int REFERENCES z, above int REFERENCES a);
  ALTER TABLE z ADD FOREIGN KEY (a) REFERENCES a DEFERRABLE;
  CREATE TABLE m (id int PRIMARY KEY, z int NOT NULL REFERENCES z ON DELETE CASCADE ON UPDATE CASCADE)`;
const TANGLE = `
  BEGIN; INSERT INTO z SELECT generate_series(1, 50); INSERT INTO a SELECT n, n, 51 - n FROM generate_series(1, 50) n;
  UPDATE z SET a = id; INSERT INTO m SELECT n, n FROM generate_series(1, 50) n; COMMIT`;
const KEYS = `
  SELECT conrelid::regclass::text AS at, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2`;

describe('a follower whose role may not switch off foreign keys', () => {
  async function tangled(more = '') {
    const leader = await PostgresLeader.start(postgres, TANGLED);
    await leader.client.query(TANGLE);
    await leader.capture();
    const follower = await PostgresFollower.start(postgres, `${TANGLED};${more}`, leader.log, leader.connect);
    // What was there before is taken out in any order, too.
    await follower.client.query(TANGLE);
    const role = `plain_${leader.slot}`;
    await follower.client.query(`
      CREATE ROLE ${role} LOGIN PASSWORD 'p'; GRANT USAGE, CREATE ON SCHEMA public, understudy TO ${role};
      GRANT ALL ON ALL TABLES IN SCHEMA understudy, public TO ${role};
      GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO ${role};
      GRANT EXECUTE ON FUNCTION pg_replication_origin_session_is_setup() TO ${role}`);
    const url = Object.assign(new URL(follower.url), { username: role, password: 'p' });
    const plain = await follower.as(url.href);
    plain.reach(leader.connect);
    return { leader, follower, plain, role };
  }
  const own = (role: string) =>
    ['a', 'm', 'z'].map((table) => `ALTER TABLE ${table} OWNER TO ${role}`).join(';');

  test('copies what is its own, in whatever order, while rows come and go, and has its foreign keys again', async () => {
    const { leader, follower, plain, role } = await tangled();
    await follower.client.query(own(role));
    const keys = await follower.client.query(KEYS);
    const phases: string[] = [];
    for (let n = 100; ; n++) {
      let turns = 0;
      await applyLog(plain.deps(), () => ++turns <= 1);
      if (n % 2 === 0) await plain.restart();
      const { snapshot } = await plain.checkpoints.applyState(LANE_0);
      phases.push(snapshot?.phase ?? 'done');
      if (snapshot === undefined) break;
      // Refers to rows that the copies before have not.
      await leader.client.query(`
        BEGIN; INSERT INTO z VALUES (${n}); INSERT INTO a VALUES (${n}, ${n}, ${n}); UPDATE z SET a = ${n} WHERE id = ${n};
        INSERT INTO m VALUES (${n}, ${n}); UPDATE a SET z = NULL WHERE id = ${n - 99}; DELETE FROM z WHERE id = ${n - 99}; COMMIT`);
      await leader.capture();
    }
    expect(phases.filter((phase) => phase === 'copy').length).toBeGreaterThanOrEqual(3);
    expect((await follower.client.query(KEYS)).rows).toEqual(keys.rows);
    await leader.client.query(
      'DELETE FROM z WHERE id = 40 AND a IS NULL; UPDATE a SET z = NULL WHERE id = 41; DELETE FROM z WHERE id = 41',
    );
    await leader.capture();
    await plain.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    await expect(follower.client.query('INSERT INTO m VALUES (999, 999)')).rejects.toMatchObject({
      code: '23503',
    });
    await plain.restart();
  });

  test.each([
    ['a foreign key', '', (role: string) => `GRANT SET ON PARAMETER session_replication_role TO ${role}`],
    [
      'a trigger',
      `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
       CREATE TRIGGER no BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION no()`,
      (role: string) => `${own(role)}; ALTER TABLE m DISABLE TRIGGER no`,
    ],
  ])(
    'says before anything is copied what to do about %s that it can not lift, and goes on',
    async (_, more, mend) => {
      const { leader, follower, plain, role } = await tangled(more);
      const before = await contents(follower.client);
      for (let tries = 0; tries < 2; tries++) {
        await expect(plain.apply()).rejects.toMatchObject({
          code: 'POSTGRES_REFUSED',
          message: expect.stringContaining('GRANT SET ON PARAMETER session_replication_role'),
        });
      }
      expect(await contents(follower.client)).toEqual(before);
      await follower.client.query(mend(role));
      await plain.apply();
      await leader.capture();
      await plain.apply();
      expect((await plain.checkpoints.applyState(LANE_0)).snapshot).toBeUndefined();
      expect(await contents(follower.client)).toEqual(await contents(leader.client));
      await plain.restart();
    },
  );
});

describe('a follower without a position', () => {
  test('copies every table under load and ends up equal, whatever it held before', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query(FILL);
    const follower = await PostgresFollower.start(postgres, SCHEMA, leader.log, leader.connect);
    await follower.client.query(
      `INSERT INTO account VALUES (7, 'stale', 1); INSERT INTO entry VALUES (7, 7)`,
    );
    const stop = new AbortController();
    const progress = { rounds: 0 };
    const loading = load(leader, stop.signal, progress);
    const steps: string[] = [];
    for (let i = 0; i < 60; i++) {
      // One step at a time, as calls that run out of time would go; some of them in a process of their own.
      let turns = 0;
      await applyLog(follower.deps(), () => ++turns <= 1);
      if (i % 4 === 3) await follower.restart();
      await leader.capture();
      const { snapshot } = await follower.checkpoints.applyState(LANE_0);
      steps.push(snapshot?.phase ?? 'done');
      if (snapshot === undefined) break;
      const { rounds } = progress;
      await until('the load goes on', () => progress.rounds > rounds);
    }
    stop.abort();
    await loading;
    expect(progress.rounds).toBeGreaterThan(5);
    expect(steps.at(-1)).toBe('done');
    expect(steps).toContain('copy');
    await leader.capture();
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('is done with an idle leader too, and says how much it has copied', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query(FILL);
    await leader.capture();
    await leader.client.query('ANALYZE');
    const follower = await PostgresFollower.start(postgres, SCHEMA, leader.log, leader.connect);
    await follower.apply();
    await leader.capture();
    await follower.apply();
    expect((await follower.checkpoints.applyState(LANE_0)).snapshot).toBeUndefined();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    const progress = follower.telemetry.events.filter(({ kind }) => kind === 'snapshot').at(-1);
    expect(progress?.fields).toMatchObject({ rowsCopied: 699, rowsEstimated: 699 });
  });

  test.each([
    ['dropped', 'DROP TABLE b, c'],
    ['no longer published', 'DROP PUBLICATION understudy; CREATE PUBLICATION understudy FOR TABLE a'],
  ])('leaves out tables that are %s before their turn', async (_, statement) => {
    const tables = 'CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE TABLE c (id int)';
    const leader = await PostgresLeader.start(postgres, tables);
    await leader.client.query('INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)');
    const follower = await PostgresFollower.start(postgres, tables, leader.log, leader.connect);
    let turns = 0;
    const begun = await applyLog(follower.deps(), () => ++turns <= 2);
    expect((await contents(follower.client))['public.a']).toHaveLength(1);
    await leader.client.query(statement);
    await applyLog(follower.deps(), () => true, begun);
    expect((await follower.checkpoints.applyState(LANE_0)).snapshot?.phase).toBe('settle');
    expect(await contents(follower.client)).toMatchObject({
      'public.a': ['(1)'],
      'public.b': [],
      'public.c': [],
    });
  });

  test('copies what a table had at its position, though somebody would rewrite it before its rows are read', async () => {
    const table = 'CREATE TABLE t (id int PRIMARY KEY, v text)';
    const leader = await PostgresLeader.start(postgres, table);
    await leader.client.query(`INSERT INTO t SELECT n, 'v' FROM generate_series(1, 9) n`);
    const other = await postgres.connect(leader.url);
    await other.query(`SET lock_timeout = '50ms'`);
    const rewritten: unknown[] = [];
    const follower = await PostgresFollower.start(postgres, table, leader.log, async (options) => {
      const client = await leader.connect(options);
      const { query } = client;
      client.query = (async (...given: unknown[]) => {
        if (`${given[0]}`.includes('pg_relation_size')) {
          const rewriting = other.query(`ALTER TABLE t ALTER v TYPE text USING v || ''`);
          rewritten.push(await rewriting.catch(({ code }: { code: string }) => code));
        }
        return Reflect.apply(query, client, given);
      }) as typeof query;
      return client;
    });
    await follower.apply();
    await leader.capture();
    await follower.apply();
    expect(rewritten).toEqual(['55P03']);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('waits for a writer at the leader without holding up the others for long', async () => {
    const leader = await PostgresLeader.start(postgres, 'CREATE TABLE t (id int PRIMARY KEY)');
    const follower = await PostgresFollower.start(
      postgres,
      'CREATE TABLE t (id int PRIMARY KEY)',
      leader.log,
      leader.connect,
    );
    const writer = await postgres.connect(leader.url);
    await writer.query('BEGIN; INSERT INTO t VALUES (1)');
    const applying = follower.apply();
    for (let i = 2; i < 12; i++) {
      const before = performance.now();
      await leader.client.query(`INSERT INTO t VALUES (${i})`);
      expect(performance.now() - before).toBeLessThan(2_000);
    }
    await writer.query('COMMIT');
    await applying;
    await leader.capture();
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    expect((await contents(follower.client))['public.t']).toHaveLength(11);
  });

  test('lets who would alter a table in that moment go first', async () => {
    const table = 'CREATE TABLE t (id int PRIMARY KEY)';
    const leader = await PostgresLeader.start(postgres, table);
    await leader.client.query('INSERT INTO t VALUES (1)');
    const other = await postgres.connect(leader.url);
    const { rows } = await other.query('SELECT pg_backend_pid() AS pid');
    let altering: Promise<unknown> | undefined;
    const follower = await PostgresFollower.start(postgres, table, leader.log, async (options) => {
      const client = await leader.connect(options);
      const { query } = client;
      client.query = (async (...given: unknown[]) => {
        // The other lock is held by now.
        if (`${given[0]}`.includes('ACCESS SHARE') && altering === undefined) {
          altering = other.query('ALTER TABLE t ALTER id TYPE int USING id + 0');
          await until('it waits', async () => {
            const waits = 'SELECT FROM pg_locks WHERE NOT granted AND pid = $1';
            return (await leader.client.query(waits, [rows[0].pid])).rowCount === 1;
          });
        }
        return Reflect.apply(query, client, given);
      }) as typeof query;
      return client;
    });
    await follower.apply();
    await altering;
    await leader.capture();
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('loses nothing that has committed by the log but that nobody at the leader sees yet', async () => {
    const table = 'CREATE TABLE t (id int PRIMARY KEY)';
    const leader = await PostgresLeader.start(postgres, table);
    const follower = await PostgresFollower.start(postgres, table, leader.log, leader.connect);
    let turns = 0;
    const begun = await applyLog(follower.deps(), () => ++turns <= 1);
    // A commit that waits for a standby is in the log, and is not visible before the standby has answered.
    const admin = await postgres.connect(postgres.server.url());
    await admin.query(`SET synchronous_commit = local`);
    await admin.query(`ALTER SYSTEM SET synchronous_standby_names = 'nobody'`);
    await admin.query('SELECT pg_reload_conf()');
    const is = (what: string, condition: string) =>
      until(what, async () => {
        const { rows } = await admin.query(`SELECT FROM pg_stat_activity WHERE ${condition}`);
        return rows.length > 0;
      });
    // The setting takes effect a moment later; commits before do not wait.
    let inserted: Promise<unknown> | undefined;
    let id = 0;
    try {
      await until('commits wait', async () => {
        inserted ??= leader.client.query(`INSERT INTO t VALUES (${++id})`).then(() => {
          inserted = undefined;
        });
        const { rows } = await admin.query(`SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'`);
        return rows.length > 0;
      });
      const applying = applyLog(follower.deps(), () => ++turns <= 4, begun);
      await is(
        'the copy waits',
        `application_name = 'understudy snapshot' AND wait_event IN ('relation', 'SyncRep')`,
      );
      await admin.query('ALTER SYSTEM RESET synchronous_standby_names');
      await admin.query('SELECT pg_reload_conf()');
      await Promise.all([inserted, applying]);
    } finally {
      await admin.query('ALTER SYSTEM RESET synchronous_standby_names');
      await admin.query('SELECT pg_reload_conf()');
      await admin.end();
    }
    await leader.capture();
    await follower.restart();
    await follower.apply();
    expect((await contents(follower.client))['public.t']).toHaveLength(id);
  });
});
