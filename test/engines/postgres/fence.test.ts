import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresFence } from '#lib/engines/postgres/postgres-fence.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { beat } from '#lib/engines/postgres/write-path.ts';
import { until } from '../../local/until.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

const E1 = parseEpoch(1);
const E2 = parseEpoch(2);
const E3 = parseEpoch(3);
let postgres: TestPostgres;
let databases = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  const admin = await postgres.connect(postgres.server.url());
  // As on RDS: nobody is a superuser, and the owner of the database is not the application.
  await admin.query(`
    CREATE ROLE keeper LOGIN REPLICATION PASSWORD 'k'; GRANT pg_signal_backend, pg_read_all_stats TO keeper;
    CREATE ROLE app LOGIN PASSWORD 'a'; CREATE ROLE clerks; CREATE ROLE clerk LOGIN PASSWORD 'a' IN ROLE clerks;
    CREATE ROLE boss SUPERUSER; CREATE ROLE guest LOGIN PASSWORD 'a'; CREATE ROLE blind LOGIN REPLICATION PASSWORD 'k'`);
}, 60_000);
afterAll(() => postgres?.[Symbol.asyncDispose]());

/** A connection string of somebody else. */
function as(url: string, role: string, password = 'a'): string {
  return Object.assign(new URL(url), { username: role, password }).href;
}

let url: string;
let name: string;
let admin: pg.Client;
const fenceOf = (roles: readonly string[], keeper = 'keeper') =>
  new PostgresFence(connector({ connectionString: as(url, keeper, 'k') }), roles);

beforeEach(async () => {
  url = await postgres.createDatabase();
  admin = await postgres.connect(url);
  name = (await admin.query('SELECT current_database() AS name')).rows[0].name;
  await admin.query(`ALTER DATABASE ${name} OWNER TO keeper; CREATE TABLE t (id int PRIMARY KEY);
    GRANT ALL ON t TO app, clerk, guest`);
  await prepareLeader(admin, 'understudy', `fence_${++databases}`);
  await admin.query(
    'GRANT USAGE ON SCHEMA understudy TO keeper, blind; GRANT ALL ON ALL TABLES IN SCHEMA understudy TO keeper, blind',
  );
});

/** What a session that begins now comes to. */
async function write(role: string, id: number): Promise<string> {
  try {
    const client = await postgres.connect(as(url, role));
    await client.query('INSERT INTO t VALUES ($1)', [id]);
    await client.end();
    return 'taken';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const CONNECT_REFUSED = '42501';
const READ_ONLY = '25006';

describe('a fence that is up', () => {
  test('shuts the application out, ends its sessions, in the middle of a transaction too, and is proven by that', async () => {
    const [idle, busy] = [await postgres.connect(as(url, 'app')), await postgres.connect(as(url, 'app'))];
    await busy.query('BEGIN; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (1)');
    expect(await fenceOf(['app']).raise(E2)).toEqual({
      proven: true,
      detail: 'app may not connect, and no session of theirs is left',
    });
    await expect(idle.query('INSERT INTO t VALUES (2)')).rejects.toThrow();
    await expect(busy.query('COMMIT')).rejects.toThrow();
    expect(await write('app', 3)).toBe(CONNECT_REFUSED);
    expect((await admin.query('SELECT * FROM t')).rows).toEqual([]);
  });

  test('shuts out a role that was let in as a member of another one, and nobody whom PUBLIC did not let in', async () => {
    await admin.query(
      `REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC; GRANT CONNECT ON DATABASE ${name} TO clerks, guest`,
    );
    expect(await fenceOf(['clerk']).raise(E2)).toMatchObject({ proven: true });
    expect(await write('clerk', 1)).toBe(CONNECT_REFUSED);
    // Others begin read-only, and may ask for more: that proves nothing, and is not said to.
    expect(await write('guest', 2)).toBe(READ_ONLY);
    expect(await fenceOf(['clerk']).lower(E2)).toBe('open');
    expect([await write('clerk', 3), await write('guest', 4), await write('app', 5)]).toEqual([
      'taken',
      'taken',
      CONNECT_REFUSED,
    ]);
  });

  test("leaves Understudy's own writes alone", async () => {
    await fenceOf(['app']).raise(E2);
    await beat(connector({ connectionString: as(url, 'keeper', 'k') }), 5);
    expect((await admin.query('SELECT at_ms FROM understudy.heartbeat')).rows).toEqual([{ at_ms: '5' }]);
  });

  test('is raised again without losing what was there before, and is lowered to just that', async () => {
    const rights = () =>
      admin.query('SELECT datacl::text FROM pg_database WHERE datname = $1', [name]).then(({ rows }) => rows);
    await admin.query(
      `GRANT CONNECT ON DATABASE ${name} TO app WITH GRANT OPTION; GRANT CONNECT ON DATABASE ${name} TO keeper`,
    );
    await admin.query(`ALTER DATABASE ${name} SET default_transaction_read_only = off`);
    const before = await rights();
    for (const epoch of [E1, E1, E2])
      expect(await fenceOf(['app']).raise(epoch)).toMatchObject({ proven: true });
    expect(await fenceOf(['app']).lower(E3)).toBe('open');
    expect(await fenceOf(['app']).lower(E3)).toBe('open');
    expect(
      String((await rights())[0].datacl)
        .split(/[{},]/)
        .sort(),
    ).toEqual(String(before[0].datacl).split(/[{},]/).sort());
    expect(await write('app', 1)).toBe('taken');
    const own = await admin.query(
      `SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE d.datname = $1`,
      [name],
    );
    expect(own.rows).toEqual([{ setconfig: ['default_transaction_read_only=off'] }]);
  });
});

describe('a call that comes late', () => {
  test('of an earlier epoch does not fence the leader of a later one', async () => {
    await fenceOf(['app']).lower(E3);
    expect(await fenceOf(['app']).raise(E2)).toEqual({
      proven: false,
      detail: 'it takes writes for a leader of epoch 3, which is a later one',
    });
    expect(await write('app', 1)).toBe('taken');
  });

  test('of an earlier epoch does not lower the fence of a later one', async () => {
    await fenceOf(['app']).raise(E3);
    expect(await fenceOf(['app']).lower(E2)).toBe('fenced');
    expect(await write('app', 1)).toBe(CONNECT_REFUSED);
    // What a later epoch has raised stays, and is as good as one's own.
    expect(await fenceOf(['app']).raise(E2)).toMatchObject({ proven: true });
  });

  test('waits for a later one that is under way, and goes by what that has made of it', async () => {
    await admin.query(`BEGIN; SELECT FROM understudy.fence FOR UPDATE`);
    const lowered = fenceOf(['app']).lower(E1);
    const waits =
      "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'understudy fence'";
    const other = await postgres.connect(url);
    await until('the call waits', async () => (await other.query(waits)).rowCount === 1);
    await admin.query(`UPDATE understudy.fence SET epoch = 3, closed = '{"grants": []}'; COMMIT`);
    expect(await lowered).toBe('fenced');
    expect((await admin.query('SELECT epoch FROM understudy.fence')).rows).toEqual([{ epoch: '3' }]);
  });

  test('in its own epoch, a leader that has found its lease again may lose it again', async () => {
    await fenceOf(['app']).raise(E1);
    await fenceOf(['app']).lower(E1);
    expect(await write('app', 1)).toBe('taken');
    expect(await fenceOf(['app']).raise(E1)).toMatchObject({ proven: true });
    expect(await write('app', 2)).toBe(CONNECT_REFUSED);
  });
});

describe('a fence that proves nothing says why', () => {
  test('without the roles of applications', async () => {
    const old = await postgres.connect(as(url, 'app'));
    expect(await fenceOf([]).raise(E2)).toMatchObject({
      proven: false,
      detail: expect.stringMatching(/applicationRoles/),
    });
    expect(await write('app', 1)).toBe(READ_ONLY);
    await old.query('INSERT INTO t VALUES (2)');
    await fenceOf([]).lower(E2);
    expect(await write('app', 3)).toBe('taken');
  });

  test('for a role that the database does not know', async () => {
    expect(await fenceOf(['app', 'typo']).raise(E2)).toMatchObject({
      proven: false,
      detail: expect.stringMatching(/no role typo/),
    });
  });

  test('for a role that nobody can shut out', async () => {
    expect(await fenceOf(['boss']).raise(E2)).toMatchObject({
      proven: false,
      detail: expect.stringMatching(/boss may connect/),
    });
  });

  test('where sessions on their way in are not seen', async () => {
    await admin.query(`ALTER DATABASE ${name} OWNER TO blind`);
    expect(await fenceOf(['app'], 'blind').raise(E2)).toMatchObject({
      proven: false,
      detail: expect.stringMatching(/pg_read_all_stats/),
    });
  });

  test('where a right is missing: nothing is changed, and the error names it', async () => {
    await admin.query(`ALTER DATABASE ${name} OWNER TO postgres`);
    await expect(fenceOf(['app']).raise(E2)).rejects.toMatchObject({ code: 'POSTGRES_REFUSED' });
    expect(await write('app', 1)).toBe('taken');
  });
});
