import { rename, symlink, unlink } from 'node:fs/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
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

const T = 'CREATE TABLE t (id int PRIMARY KEY, v text);';

async function pair(schema = T, more = '') {
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema + more, leader.log);
  return { leader, follower };
}
type Pair = Awaited<ReturnType<typeof pair>>;

/** The follower of a pair, by a role that may not set session_replication_role. */
async function plain({ leader, follower }: Pair): Promise<PostgresFollower> {
  const role = `plain_${leader.slot}`;
  await follower.client.query(`
    CREATE ROLE ${role} LOGIN PASSWORD 'p'; GRANT USAGE, CREATE ON SCHEMA public TO ${role};
    GRANT USAGE ON SCHEMA understudy TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA understudy, public TO ${role};
    GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO ${role};
    GRANT EXECUTE ON FUNCTION pg_replication_origin_session_is_setup() TO ${role}`);
  const url = Object.assign(new URL(follower.url), { username: role, password: 'p' });
  return follower.as(url.href);
}

/** What the follower says as it can't apply what the leader does. It says so twice; nothing is applied. */
async function refusal({ leader, follower }: Pair, sql: string): Promise<UnderstudyError> {
  const before = await contents(follower.client);
  const { applied } = await follower.checkpoints.applyState(LANE_0);
  await leader.client.query(sql);
  await leader.capture();
  await expect(follower.apply()).rejects.toBeInstanceOf(UnderstudyError);
  const error = await follower.apply().catch((failure) => failure);
  expect(await contents(follower.client)).toEqual(before);
  expect((await follower.checkpoints.applyState(LANE_0)).applied).toEqual(applied);
  return error;
}

/** It goes on by itself, and holds what the leader does; tables that only it has are its own. */
async function goesOn({ leader, follower }: Pair): Promise<void> {
  await follower.apply();
  expect(await contents(follower.client)).toMatchObject(await contents(leader.client));
  await follower.restart();
}

/** What a change of a follower's own stands in the way, and the statement that the error names is run. */
async function runWhatItSays({ follower }: Pair, { next }: UnderstudyError): Promise<void> {
  const statements = next.match(/ALTER TABLE [^;]+;/g);
  expect(statements, next).not.toBeNull();
  for (const statement of statements!) await follower.client.query(statement);
}

/** A person with an open transaction, while something is done. */
async function whileLocked(
  { follower }: Pair,
  sql: string,
  work: (pid: number) => Promise<unknown>,
): Promise<void> {
  const person: pg.Client = await postgres.connect(follower.url);
  try {
    await person.query(`SET application_name = 'psql'; SET statement_timeout = 0; BEGIN; ${sql}`);
    const { rows } = await person.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    await work(rows[0]!.pid);
  } finally {
    await person.end();
  }
}
test('a database that was made ready for an earlier version is told to be made ready again, and goes on then', async () => {
  const { leader, follower } = await pair();
  await leader.client.query('INSERT INTO t VALUES (1)');
  const old = expect.objectContaining({
    code: 'POSTGRES_REFUSED',
    message: expect.stringContaining('Run understudy prepare at this database'),
  });
  await leader.client.query('DROP TABLE understudy.publication_part');
  await expect(leader.capture()).rejects.toEqual(old);
  await prepareLeader(leader.client, 'understudy', leader.slot);
  await leader.capture();
  await follower.client.query('DROP TABLE understudy.seen_table');
  await expect(follower.apply()).rejects.toEqual(old);
  await prepareFollower(follower.client, follower.origin);
  await goesOn({ leader, follower });
});

describe('a follower whose disk is full', () => {
  test('says so, loses nothing, and goes on once there is room', async () => {
    const both = await pair();
    const { follower, leader } = both;
    const { rows } = await follower.client.query<{ file: string }>(
      `SELECT current_setting('data_directory') || '/' || pg_relation_filepath('t') AS file`,
    );
    // The device that is always full: the server's own writes to the table fail with ENOSPC.
    const { file } = rows[0]!;
    await rename(file, `${file}.kept`);
    await symlink('/dev/full', file);
    const error = await refusal(both, `INSERT INTO t VALUES (1, 'a')`);
    expect(error).toMatchObject({ code: 'POSTGRES_EXHAUSTED', message: expect.stringContaining('53100') });
    await unlink(file);
    await rename(`${file}.kept`, file);
    // Sessions that have the file open look at it anew.
    await follower.client.query('ALTER TABLE t SET (fillfactor = 90)');
    await leader.client.query(`INSERT INTO t SELECT generate_series(2, 99)`);
    await leader.capture();
    await goesOn(both);
  });
});

describe('a lock of somebody else', () => {
  test.each([
    ['a table', 'LOCK TABLE t', `UPDATE t SET v = 'x'`, /AccessExclusiveLock on t\b/],
    ['a row', 'SELECT FROM t WHERE id = 2 FOR UPDATE', `UPDATE t SET v = 'x'`, /RowShareLock on t\b/],
    ['a table that is read, and to be truncated', 'SELECT FROM t', 'TRUNCATE t', /AccessShareLock on t\b/],
    [
      'the checkpoint',
      'SELECT FROM understudy.checkpoint FOR UPDATE',
      `UPDATE t SET v = 'x'`,
      /RowShareLock on understudy\.checkpoint/,
    ],
  ])('on %s: the applier says whose it is, and goes on once it is gone', async (_, lock, sql, holds) => {
    const both = await pair();
    const { leader, follower } = both;
    await leader.client.query('INSERT INTO t VALUES (1), (2)');
    await leader.capture();
    follower.waitForLocks(50);
    await follower.apply();
    await leader.client.query(sql);
    await leader.capture();
    await whileLocked(both, lock, async (pid) => {
      for (let tries = 0; tries < 2; tries += 1) {
        const error = (await follower.apply().catch((failure) => failure)) as UnderstudyError;
        expect(error.code, String(error)).toBe('POSTGRES_BLOCKED');
        expect(error.message).toContain(`session ${pid} (role postgres, psql, idle in transaction, `);
        expect(error.message).toMatch(holds);
        expect(error.next).toContain(`pg_terminate_backend(${pid})`);
      }
    });
    await goesOn(both);
  });

  test('is waited for by a role whose own timeouts are shorter', async () => {
    const both = await pair();
    const { leader, follower } = both;
    await leader.client.query('INSERT INTO t SELECT generate_series(1, 9)');
    await leader.capture();
    const { rows } = await follower.client.query<{ name: string }>('SELECT current_database() AS name');
    await follower.client.query(
      `ALTER DATABASE ${rows[0]!.name} SET statement_timeout = 1; ALTER DATABASE ${rows[0]!.name} SET lock_timeout = 1`,
    );
    let applying = Promise.resolve();
    const isWaiting = async () => {
      const found = await follower.client.query(
        `SELECT FROM pg_stat_activity WHERE application_name = 'understudy apply' AND wait_event_type = 'Lock' AND datname = current_database()`,
      );
      return found.rowCount === 1;
    };
    await whileLocked(both, 'LOCK TABLE t', async () => {
      applying = follower.apply();
      await Promise.race([applying, until('the applier waits', isWaiting)]);
    });
    await applying;
    await goesOn(both);
  });

  test('or a word of theirs that ends the statement: the applier says so, and tries again', async () => {
    const both = await pair();
    const { leader, follower } = both;
    await leader.client.query('INSERT INTO t VALUES (1)');
    await leader.capture();
    const cancel = `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'understudy apply' AND wait_event_type = 'Lock' AND datname = current_database()`;
    await whileLocked(both, 'LOCK TABLE t', async () => {
      const applying = follower.apply().catch((failure) => failure);
      await until('it is cancelled', async () => (await follower.client.query(cancel)).rowCount === 1);
      expect(await applying).toMatchObject({
        code: 'POSTGRES_BLOCKED',
        message: expect.stringContaining('57014'),
      });
    });
    await goesOn(both);
  });
});

const TRIGGER = (event: string) => `
  CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not here'; END $$;
  CREATE TRIGGER "No" BEFORE ${event} ON t FOR EACH ROW EXECUTE FUNCTION no();`;

describe("what a follower's own tables do by themselves", () => {
  test.each(['ALWAYS', 'REPLICA'])(
    'a trigger that is enabled %s and raises is told with its table and the change, and switched off by what is told',
    async (mode) => {
      const both = await pair(T, `${TRIGGER('INSERT OR UPDATE')} ALTER TABLE t ENABLE ${mode} TRIGGER "No"`);
      const error = await refusal(both, `INSERT INTO t VALUES (1), (2); UPDATE t SET v = 'x' WHERE id = 1`);
      expect(error).toMatchObject({
        code: 'APPLY_REFUSED',
        message: expect.stringMatching(
          /table public\.t at LSN 1 .*: not here \(P0001, PL\/pgSQL function no\(\) line 1 at RAISE\)/,
        ),
      });
      await runWhatItSays(both, error);
      await goesOn(both);
    },
  );

  test('a foreign key of a table that only the follower has is told, row and constraint', async () => {
    const both = await pair(T, `CREATE TABLE "my notes" (t int CONSTRAINT "of t" REFERENCES t);`);
    const { leader, follower } = both;
    await leader.client.query('INSERT INTO t VALUES (1), (2)');
    await leader.capture();
    await follower.apply();
    await follower.client.query('INSERT INTO "my notes" VALUES (2)');
    await follower.restart();
    const own = { leader, follower: await plain(both) };
    const error = await refusal(own, 'DELETE FROM t');
    expect(error).toMatchObject({
      code: 'APPLY_REFUSED',
      message: expect.stringMatching(/table public\.t at LSN 5 .*"of t" on table "my notes" \(23503\)/),
    });
    // Either: the rows that refer to it go, or the constraint does.
    await follower.client.query('DELETE FROM "my notes"');
    await goesOn(own);
    await leader.client.query('INSERT INTO t VALUES (1), (2)');
    await leader.capture();
    await own.follower.apply();
    await follower.client.query('INSERT INTO "my notes" VALUES (1)');
    await runWhatItSays(own, await refusal(own, 'DELETE FROM t WHERE id = 1'));
    await goesOn(own);
  });

  test('a table that is truncated, and that a table of the follower refers to', async () => {
    const both = await pair(T, 'CREATE TABLE notes (t int REFERENCES t);');
    const error = await refusal(both, 'INSERT INTO t VALUES (1); TRUNCATE t');
    expect(error).toMatchObject({
      code: 'APPLY_REFUSED',
      message: expect.stringMatching(/public\.t at LSN 2 .*referenced in a foreign key/),
    });
    const found = await both.follower.client.query(error.next.match(/SELECT [^;]+;/)![0]);
    expect(found.rows).toEqual([{ conrelid: 'notes', conname: 'notes_t_fkey' }]);
    await both.follower.client.query('ALTER TABLE notes DROP CONSTRAINT notes_t_fkey');
    await goesOn(both);
  });

  test('a row that another refers to was deleted by hand: it is told, also where the check is deferred', async () => {
    for (const deferred of ['', 'DEFERRABLE INITIALLY DEFERRED']) {
      const both = await pair(`${T} CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t ${deferred})`);
      const { leader, follower } = both;
      await leader.client.query('INSERT INTO t VALUES (1), (2)');
      await leader.capture();
      await follower.apply();
      await follower.restart();
      await follower.client.query('DELETE FROM t WHERE id = 2');
      const own = { leader, follower: await plain(both) };
      const error = await refusal(own, 'INSERT INTO c VALUES (1, 1), (2, 2)');
      expect(error).toMatchObject({ code: 'APPLY_CONFLICT', message: expect.stringContaining('c_t_fkey') });
      await follower.client.query('INSERT INTO t VALUES (2)');
      await goesOn(own);
    }
  });

  test.each([
    ['id int PRIMARY KEY, t int', 'ON DELETE CASCADE'],
    ['t int PRIMARY KEY, id int', 'ON DELETE CASCADE'],
    ['id int PRIMARY KEY, t int', 'ON DELETE SET NULL'],
    ['id int PRIMARY KEY, t int', 'ON UPDATE CASCADE'],
    ['t int PRIMARY KEY, id int', 'ON UPDATE CASCADE'],
  ])(
    'of a table (%s), a foreign key %s does what the leader did already, and no harm by it',
    async (columns, action) => {
      const both = await pair(`${T} CREATE TABLE c (${columns}, FOREIGN KEY (t) REFERENCES t ${action})`);
      const { leader } = both;
      const own = { leader, follower: await plain(both) };
      await leader.client.query('INSERT INTO t VALUES (1), (2); INSERT INTO c VALUES (1, 1), (2, 2)');
      await leader.client.query(
        action.includes('DELETE') ? 'DELETE FROM t WHERE id = 2' : 'UPDATE t SET id = 3 WHERE id = 2',
      );
      await leader.capture();
      await goesOn(own);
    },
  );
});
