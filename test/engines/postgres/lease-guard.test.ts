import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { GuardMode } from '#lib/domain/topology.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { guard, guardedTables, lacksGuard } from '#lib/engines/postgres/lease-guard.ts';
import { PostgresFence } from '#lib/engines/postgres/postgres-fence.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { beat } from '#lib/engines/postgres/write-path.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

const E1 = parseEpoch(1);
const E2 = parseEpoch(2);
const E3 = parseEpoch(3);
const REFUSED = { code: '25006', message: /does not hold the lease/ };
/** So far away from now, ms, that no test takes as long. */
const LONG = 3_600_000;
let postgres: TestPostgres;
let databases = 0;
let url: string;
/** The owner of the tables, who is nobody special: what an application logs in as. */
let app: pg.Client;
let admin: pg.Client;

beforeAll(async () => {
  postgres = await startTestPostgres();
  const client = await postgres.connect(postgres.server.url());
  // As on RDS: nobody is a superuser, and Understudy does not own the tables.
  await client.query(`
    CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'k'; GRANT pg_signal_backend, pg_read_all_stats TO keeper;
    CREATE ROLE app LOGIN PASSWORD 'a'`);
}, 60_000);
afterAll(() => postgres?.[Symbol.asyncDispose]());

const as = (role: string) => Object.assign(new URL(url), { username: role, password: role.slice(0, 1) }).href;
const keeper = () => connector({ connectionString: as('keeper') });

beforeEach(async () => {
  url = await postgres.createDatabase();
  admin = await postgres.connect(url);
  const name = (await admin.query('SELECT current_database() AS name')).rows[0].name;
  await admin.query(`ALTER DATABASE ${name} OWNER TO keeper; GRANT ALL ON SCHEMA public TO app; SET ROLE app;
    CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 0), (2, 0), (3, 0);
    CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (100);
    GRANT TRIGGER ON ALL TABLES IN SCHEMA public TO keeper; ALTER DEFAULT PRIVILEGES GRANT TRIGGER ON TABLES TO keeper; RESET ROLE`);
  const prepared = await postgres.connect(url);
  await prepared.query(
    'CREATE PUBLICATION understudy FOR ALL TABLES WITH (publish_via_partition_root); SET SESSION AUTHORIZATION keeper',
  );
  await prepareLeader(prepared, 'understudy', `guard_${++databases}`);
  await prepared.end();
  app = await postgres.connect(as('app'));
});

afterEach(async () => {
  await app.end();
  await admin.query('SELECT pg_drop_replication_slot($1)', [`guard_${databases}`]);
  await admin.end();
});

/** Tables that lack the guard. */
async function lacking(mode: 'on' | 'strict'): Promise<readonly string[]> {
  return (await guardedTables(admin))!.filter((table) => lacksGuard(table, mode)).map(({ name }) => name);
}

async function guarded(mode: GuardMode): Promise<void> {
  expect(await guard(keeper(), mode)).toEqual([]);
}

/** Renews the lease by the way of the canary: for so long from now on by the server's clock, ms. */
async function lend(ms: number, epoch: Epoch = E1): Promise<void> {
  const now = await beat(keeper(), 1);
  await beat(keeper(), 2, { epoch, untilMs: now + ms });
}

const WRITES = [
  'INSERT INTO t VALUES (9, 9)',
  'UPDATE t SET v = v + 1',
  'DELETE FROM t WHERE id = 2',
  'TRUNCATE t',
  'INSERT INTO parted VALUES (1)',
  'INSERT INTO part VALUES (2)',
  'WITH gone AS (DELETE FROM t WHERE id = 1 RETURNING *) SELECT * FROM gone',
  'MERGE INTO t USING (VALUES (1)) AS s (id) ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = 1',
];

describe.each(['on', 'strict'] as const)('a guard that is %s', (mode) => {
  test('refuses nothing before the first lease, and nothing while one lasts', async () => {
    await guarded(mode);
    for (const sql of WRITES) await app.query(`BEGIN; ${sql}; ROLLBACK`);
    await app.query('UPDATE t SET v = v + 1');
    await lend(LONG);
    await app.query('UPDATE t SET v = v + 1');
    expect((await app.query('SELECT min(v) AS v FROM t')).rows).toEqual([{ v: 2 }]);
  });

  test.each(WRITES)('refuses once the lease is over: %s', async (sql) => {
    await guarded(mode);
    await lend(-1);
    await expect(app.query(sql)).rejects.toMatchObject({
      ...REFUSED,
      message: expect.stringMatching(REFUSED.message),
    });
    expect((await app.query('SELECT count(*)::int AS n, sum(v)::int AS v FROM t')).rows).toEqual([
      { n: 3, v: 0 },
    ]);
  });

  test('takes writes again when the lease is renewed, in a transaction that has seen it end, too', async () => {
    await guarded(mode);
    await lend(LONG);
    await app.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT FROM t');
    await lend(-1);
    // The snapshot is older than the end, and does not hide it.
    await app.query('SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT s');
    await expect(app.query('UPDATE t SET v = 7')).rejects.toMatchObject({ code: '25006' });
    await app.query('ROLLBACK TO s');
    await lend(LONG);
    await app.query('UPDATE t SET v = 8; COMMIT');
    expect((await app.query('SELECT DISTINCT v FROM t')).rows).toEqual([{ v: 8 }]);
  });

  test('guards tables that are new, and those that have got another name', async () => {
    await guarded(mode);
    await app.query('CREATE TABLE fresh (id int PRIMARY KEY); ALTER TABLE t RENAME TO renamed');
    await lend(-1);
    await expect(app.query('UPDATE renamed SET v = 1')).rejects.toMatchObject({ code: '25006' });
    expect(await lacking(mode)).toEqual(['public.fresh']);
    await guarded(mode);
    await expect(app.query('INSERT INTO fresh VALUES (1)')).rejects.toMatchObject({ code: '25006' });
    // A table of its own that is guarded may become a partition, and its rows are checked.
    await lend(LONG);
    await app.query('CREATE TABLE later (id int PRIMARY KEY)');
    await guarded(mode);
    await app.query('ALTER TABLE parted ATTACH PARTITION later FOR VALUES FROM (100) TO (200)');
    await lend(-1);
    await expect(app.query('INSERT INTO parted VALUES (150)')).rejects.toMatchObject({ code: '25006' });
  });

  test('a table that somebody holds is told, and guarded later; its writers do not wait', async () => {
    await app.query('BEGIN; UPDATE t SET v = 5');
    const left = await guard(keeper(), mode);
    expect(left.map(({ table }) => table)).toContain('public.t');
    await app.query('COMMIT');
    await guarded(mode);
    expect(await lacking(mode)).toEqual([]);
  });

  test('an earlier epoch moves nothing, and a fence that is raised ends the lease for good', async () => {
    await guarded(mode);
    await lend(-1, E2);
    await lend(LONG, E1);
    await expect(app.query('UPDATE t SET v = 1')).rejects.toMatchObject({ code: '25006' });
    await lend(LONG, E2);
    await app.query('UPDATE t SET v = 1');
    const fence = new PostgresFence(keeper(), []);
    await fence.raise(E3);
    await lend(LONG, E2);
    await expect(app.query('UPDATE t SET v = 2')).rejects.toMatchObject({ code: '25006' });
    await fence.lower(E3);
    await lend(LONG, E3);
    await app.query('UPDATE t SET v = 2');
  });

  test('whoever may not read the lease is refused', async () => {
    await guarded(mode);
    await lend(LONG);
    await admin.query('REVOKE SELECT ON SEQUENCE understudy.lease_end FROM PUBLIC');
    await expect(app.query('UPDATE t SET v = 1')).rejects.toMatchObject({ code: '25006' });
  });

  test('lets Understudy write: as a replica, and without that right', async () => {
    await admin.query('GRANT ALL ON t, parted, part TO keeper');
    await guarded(mode);
    await lend(-1);
    const own = await keeper()();
    await own.query('BEGIN; UPDATE t SET v = 4; INSERT INTO part VALUES (5); COMMIT');
    await own.end();
    await admin.query('SET session_replication_role = replica; UPDATE t SET v = v + 1');
    expect((await app.query('SELECT DISTINCT v FROM t')).rows).toEqual([{ v: 5 }]);
  });

  test('switched off, it leaves nothing behind and refuses nothing', async () => {
    const rest = async () =>
      (
        await admin.query(`
          SELECT (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal) AS triggers, (SELECT count(*) FROM pg_proc WHERE pronamespace = 'understudy'::regnamespace) AS functions,
                 (SELECT array_agg(relname ORDER BY 1) FROM pg_class WHERE relnamespace = 'understudy'::regnamespace) AS relations,
                 (SELECT coalesce(nspacl, acldefault('n', nspowner))::text FROM pg_namespace WHERE nspname = 'understudy') AS acl`)
      ).rows;
    const before = await rest();
    await guarded(mode);
    expect(await rest()).not.toEqual(before);
    await lend(-1);
    await guarded('off');
    expect(await rest()).toEqual(before);
    for (const sql of WRITES) await app.query(`BEGIN; ${sql}; ROLLBACK`);
    await guarded('off');
  });
});

describe('a transaction that was open when the lease ended', () => {
  const open = async (mode: GuardMode) => {
    await guarded(mode);
    await lend(LONG);
    await app.query('BEGIN; UPDATE t SET v = 1; UPDATE t SET v = 2');
    await lend(-1);
  };

  test('cannot commit where the guard is strict', async () => {
    await open('strict');
    await expect(app.query('COMMIT')).rejects.toMatchObject({
      code: '25006',
      detail: expect.stringContaining('before the transaction could commit'),
    });
    expect((await app.query('SELECT DISTINCT v FROM t')).rows).toEqual([{ v: 0 }]);
  });

  test('commits where it is not', async () => {
    await open('on');
    await app.query('COMMIT');
    expect((await app.query('SELECT DISTINCT v FROM t')).rows).toEqual([{ v: 2 }]);
  });

  test('cannot commit if its first write was rolled back to a savepoint and another was not', async () => {
    await guarded('strict');
    await lend(LONG);
    await app.query('BEGIN; SAVEPOINT s; UPDATE t SET v = 1; ROLLBACK TO s; INSERT INTO parted VALUES (1)');
    await lend(-1);
    await expect(app.query('COMMIT')).rejects.toMatchObject({ code: '25006' });
  });

  test('cannot commit if it has written after its constraints were checked', async () => {
    await guarded('strict');
    await lend(LONG);
    await app.query(
      'BEGIN; UPDATE t SET v = 1; SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED; UPDATE t SET v = 2',
    );
    await lend(-1);
    await expect(app.query('COMMIT')).rejects.toMatchObject({ code: '25006' });
  });

  test('can alter a table that it has written to once its checks are made', async () => {
    await guarded('strict');
    await lend(LONG);
    await app.query(
      'BEGIN; UPDATE t SET v = 1; SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE t ADD COLUMN w int; COMMIT',
    );
  });
});

test('a guard moves between its modes, and nothing is left of the one before', async () => {
  const triggers = async () =>
    (
      await admin.query(
        `SELECT tgrelid::regclass::text AS t, tgname, tgtype FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2`,
      )
    ).rows;
  await guarded('strict');
  const strict = await triggers();
  await guarded('on');
  expect(await lacking('on')).toEqual([]);
  expect((await guardedTables(admin))!.some(({ commits }) => commits)).toBe(false);
  await guarded('strict');
  expect(await triggers()).toEqual(strict);
});

test('a mode that cannot be left as a table is in use is left later, and the guard holds meanwhile', async () => {
  await guarded('strict');
  await app.query('BEGIN; SELECT FROM t');
  expect(await guard(keeper(), 'on')).toEqual([
    { table: expect.any(String), why: expect.stringMatching(/lock timeout/) },
  ]);
  await app.query('COMMIT');
  await lend(-1);
  await expect(app.query('UPDATE t SET v = 1')).rejects.toMatchObject({ code: '25006' });
  await guarded('on');
  expect((await guardedTables(admin))!.some(({ commits }) => commits)).toBe(false);
});

test('a server that was frozen refuses as soon as it wakes up, whatever was under way', async () => {
  await guarded('strict');
  await lend(LONG);
  await app.query('BEGIN; UPDATE t SET v = 1');
  const other = await postgres.connect(as('app'));
  const now = await beat(keeper(), 1);
  await beat(keeper(), 2, { epoch: E1, untilMs: now + 300 });
  const pids = await Promise.all(
    [app, other].map(async (client) => (await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid),
  );
  postgres.server.kill('SIGSTOP');
  const isStopped = (pid: number) => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  await expect.poll(() => pids.every(isStopped)).toBe(true);
  const late = [app.query('COMMIT'), other.query('UPDATE t SET v = 2 WHERE id = 3')];
  const settled = Promise.allSettled(late);
  const until = Date.now() + 600;
  await expect.poll(() => Date.now() > until, { timeout: 5_000 }).toBe(true);
  postgres.server.kill('SIGCONT');
  for (const each of await settled)
    expect(each).toMatchObject({ status: 'rejected', reason: { code: '25006' } });
  expect((await admin.query('SELECT DISTINCT v FROM t')).rows).toEqual([{ v: 0 }]);
});
