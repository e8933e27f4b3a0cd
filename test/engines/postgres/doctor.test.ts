import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runProgram } from '#lib/cli/program.ts';
import { diagnosePostgres } from '#lib/engines/postgres/doctor.ts';
import { type PostgresFacts, postgresFacts } from '#lib/engines/postgres/doctor-facts.ts';
import { keepGuard } from '#lib/engines/postgres/lease-guard.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

const WELL: PostgresFacts = {
  settings: {
    wal_level: 'logical',
    max_replication_slots: '10',
    max_wal_senders: '10',
    max_slot_wal_keep_size: '1000',
  },
  role: 'app"s',
  mayReplicate: true,
  mayCreate: true,
  maySetOrigin: true,
  mayBeReplica: true,
  ownsDatabase: true,
  mayEndSessions: true,
  publication: 'understudy',
  publicationFaults: [],
  partitioned: [],
  slotsUsed: 1,
  slotsLost: [],
  sendersUsed: 0,
  tables: [
    {
      table: 'public.t',
      identity: 'default',
      hasPrimaryKey: true,
      unlogged: false,
      triggers: 0,
      heldKeys: [],
    },
  ],
  fixedSequences: 0,
  largeObjects: false,
  oldestTransaction: 1,
  guarded: [{ name: 'public.t', holdsRows: true, statements: true, truncate: true, commits: false }],
};
const TABLE = WELL.tables[0]!;
const GUARDED = WELL.guarded![0]!;

describe('the checks of a database', () => {
  test('find nothing where all is well', () => {
    expect(diagnosePostgres(WELL)).toEqual([]);
  });

  test.each<[string, Partial<PostgresFacts>, 'failed' | 'warning', RegExp]>([
    [
      'wal_level',
      { settings: { ...WELL.settings, wal_level: 'replica' } },
      'failed',
      /SET wal_level = 'logical'/,
    ],
    ['max_replication_slots', { slotsUsed: 10 }, 'failed', /max_replication_slots = 15/],
    ['max_wal_senders', { sendersUsed: 11 }, 'failed', /max_wal_senders = 16/],
    ['slot', { slotsLost: ['s'] }, 'failed', /pg_drop_replication_slot\('s'\)/],
    [
      'max_slot_wal_keep_size',
      { settings: { ...WELL.settings, max_slot_wal_keep_size: '-1' } },
      'warning',
      /50GB/,
    ],
    ['publication', { publicationFaults: [{ what: 'x', fix: 'ALTER x' }] }, 'failed', /ALTER x/],
    ['publication', { partitioned: ['public.p'] }, 'warning', /DELETE its rows/],
    ['slots', { mayReplicate: false }, 'failed', /ALTER ROLE "app""s" REPLICATION/],
    ['create', { mayCreate: false }, 'failed', /GRANT CREATE ON DATABASE/],
    ['origin', { maySetOrigin: false }, 'failed', /GRANT EXECUTE ON FUNCTION/],
    ['session_replication_role', { mayBeReplica: false }, 'warning', /GRANT SET ON PARAMETER/],
    [
      'lease guard',
      { guarded: [{ ...GUARDED, statements: false }] },
      'warning',
      /GRANT TRIGGER ON public\.t TO "app""s"/,
    ],
    [
      'lease guard',
      {
        guarded: [
          { ...GUARDED, commits: true, statements: false },
          { ...GUARDED, name: 'public.u' },
        ],
      },
      'warning',
      /ON public\.u TO/,
    ],
    ['fence', { ownsDatabase: false }, 'warning', /OWNER TO/],
    ['fence', { mayEndSessions: false }, 'warning', /GRANT pg_signal_backend, pg_read_all_stats/],
    [
      'triggers',
      { mayBeReplica: false, tables: [{ ...TABLE, triggers: 1 }] },
      'failed',
      /GRANT SET ON PARAMETER session_replication_role TO "app""s"/,
    ],
    [
      'foreign keys',
      { mayBeReplica: false, tables: [{ ...TABLE, heldKeys: ['k'] }] },
      'failed',
      /ALTER TABLE public\.t OWNER TO "app""s"/,
    ],
    ['unlogged', { tables: [{ ...TABLE, unlogged: true }] }, 'warning', /SET LOGGED/],
    [
      'replica identity',
      { tables: [{ ...TABLE, identity: 'nothing' }] },
      'failed',
      /REPLICA IDENTITY DEFAULT/,
    ],
    ['replica identity', { tables: [{ ...TABLE, hasPrimaryKey: false }] }, 'failed', /REPLICA IDENTITY FULL/],
    [
      'replica identity',
      { tables: [{ ...TABLE, hasPrimaryKey: false, identity: 'full' }] },
      'warning',
      /ADD PRIMARY KEY/,
    ],
    ['sequences', { fixedSequences: 2 }, 'failed', /GRANT UPDATE/],
    ['large objects', { largeObjects: true }, 'warning', /bytea/],
    ['long transaction', { oldestTransaction: 700 }, 'warning', /pg_terminate_backend/],
  ])('find %s, with what mends it', (check, facts, verdict, fix) => {
    // Of a role that lacks the right, that alone is told first.
    const found = diagnosePostgres({ ...WELL, ...facts });
    expect(found.filter((each) => each.check === check || facts.mayBeReplica !== false)).toMatchObject([
      { check, verdict, fix: expect.stringMatching(fix) },
    ]);
  });
});

describe('a real database', () => {
  let postgres: TestPostgres;

  beforeAll(async () => {
    postgres = await startTestPostgres();
  });

  afterAll(async () => {
    await postgres?.[Symbol.asyncDispose]();
  });

  test('is looked at by the command, and what it says mends it does', async () => {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    await client.query(`
      CREATE TABLE good (id serial PRIMARY KEY); CREATE TABLE bare (x int); CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);
      CREATE TABLE off (id int PRIMARY KEY); ALTER TABLE off REPLICA IDENTITY NOTHING`);
    const checks = async () => diagnosePostgres(await postgresFacts(client)).map(({ check }) => check);
    expect(await checks()).toEqual([
      'max_slot_wal_keep_size',
      'publication',
      'replica identity',
      'replica identity',
      'unlogged',
      'lease guard',
    ]);
    expect(
      await runProgram(['node', 'understudy', 'doctor', '--engine', 'postgres', '--url', url, '--json']),
    ).toBe(1);
    for (const { check, fix } of diagnosePostgres(await postgresFacts(client))) {
      if (check === 'unlogged') await client.query(fix);
      if (check === 'replica identity') await client.query(fix.split(' or ').at(-1)!);
    }
    expect(await checks()).toEqual([
      'max_slot_wal_keep_size',
      'publication',
      'replica identity',
      'lease guard',
    ]);
    await prepareLeader(client, 'understudy', 'doctored');
    expect(await checks()).toEqual(['max_slot_wal_keep_size', 'replica identity', 'lease guard']);
    await keepGuard(client, 'on');
    expect(await checks()).toEqual(['max_slot_wal_keep_size', 'replica identity']);
    expect(
      await runProgram(['node', 'understudy', 'doctor', '--engine', 'postgres', '--url', url, '--json']),
    ).toBe(0);
    await client.query('INSERT INTO bare VALUES (1); DELETE FROM bare; DELETE FROM "off"');
  });

  test('says by which statement a publication comes to leave out nothing; no slot is made before', async () => {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    await client.query(`
      CREATE TABLE t (id int PRIMARY KEY, v text, w int GENERATED ALWAYS AS (id + 1) STORED); CREATE TABLE "U" (id int PRIMARY KEY);
      CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)`);
    const found = async () =>
      diagnosePostgres(await postgresFacts(client, 'my pub')).filter(({ check }) => check === 'publication');
    expect(await found()).toMatchObject([
      { verdict: 'warning', fix: expect.stringContaining('CREATE PUBLICATION "my pub" FOR ALL TABLES') },
    ]);
    for (const narrow of [
      `FOR ALL TABLES WITH (publish = 'insert, update, delete', publish_via_partition_root = true)`,
      'FOR ALL TABLES',
      `FOR TABLE t, "U" WHERE (id > 1) WITH (publish_via_partition_root = true)`,
      `FOR TABLE t (id), "U" (id) WITH (publish_via_partition_root = true)`,
      'FOR ALL TABLES WITH (publish_generated_columns = stored, publish_via_partition_root = true)',
      `FOR TABLE t (id), "U" WHERE (id > 1) WITH (publish = 'insert')`,
    ]) {
      await client.query(`DROP PUBLICATION IF EXISTS "my pub"; CREATE PUBLICATION "my pub" ${narrow}`);
      await expect(prepareLeader(client, 'my pub', 'narrow')).rejects.toMatchObject({
        code: 'PUBLICATION_UNFIT',
        next: expect.stringContaining('ALTER PUBLICATION "my pub"'),
      });
      const failed = (await found()).filter(({ verdict }) => verdict === 'failed');
      expect(failed.length, narrow).toBeGreaterThan(0);
      for (const { fix } of failed) await client.query(fix);
      expect((await found()).filter(({ verdict }) => verdict === 'failed')).toEqual([]);
    }
    const { rows } = await client.query(`SELECT FROM pg_replication_slots WHERE slot_name = 'narrow'`);
    expect(rows).toEqual([]);
    const published = await client.query(
      `SELECT tablename FROM pg_publication_tables WHERE pubname = 'my pub' ORDER BY 1`,
    );
    expect(published.rows).toEqual([{ tablename: 'U' }, { tablename: 't' }]);
    await client.query('ALTER PUBLICATION "my pub" ADD TABLE p');
    expect(await found()).toMatchObject([{ verdict: 'warning', what: expect.stringMatching(/ public\.p /) }]);
    await prepareLeader(client, 'my pub', 'narrow');
    expect(
      await runProgram(
        `node understudy doctor --engine postgres --url ${url} --publication`.split(' ').concat('my pub'),
      ),
    ).toBe(0);
  });

  test('names what a role lacks', async () => {
    const url = await postgres.createDatabase();
    const admin = await postgres.connect(url);
    await admin.query(`CREATE ROLE weak LOGIN PASSWORD 'p'; CREATE SEQUENCE theirs;
      CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY REFERENCES p)`);
    const weak = new URL(url);
    weak.username = 'weak';
    weak.password = 'p';
    const client = await postgres.connect(weak.href);
    const failed = diagnosePostgres(await postgresFacts(client)).map(({ check }) => check);
    expect(failed).toEqual(
      expect.arrayContaining([
        'slots',
        'create',
        'origin',
        'session_replication_role',
        'fence',
        'sequences',
        'foreign keys',
      ]),
    );
    await client.end();
  });

  test('says what is lost without a lease guard, and which tables lack one', async () => {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    const told = async () =>
      diagnosePostgres(await postgresFacts(client)).find(({ check }) => check === 'lease guard')?.what;
    await client.query('CREATE TABLE a (id int PRIMARY KEY)');
    expect(await told()).toMatch(/frozen or cut off .* lost to the group/);
    await keepGuard(client, 'strict');
    expect(await told()).toBeUndefined();
    await client.query('CREATE TABLE fresh (id int PRIMARY KEY)');
    expect(await told()).toMatch(/ public\.fresh$/);
  });

  test('is not asked where the options do not name it, or where it does not answer', async () => {
    expect(await runProgram(['node', 'understudy', 'doctor', '--engine', 'oracle', '--url', 'x'])).toBe(2);
    expect(await runProgram(['node', 'understudy', 'doctor', '--url', postgres.server.url()])).toBe(2);
    expect(
      await runProgram([
        'node',
        'understudy',
        'doctor',
        '--engine',
        'postgres',
        '--url',
        'postgres://x@127.0.0.1:1/x',
      ]),
    ).toBe(1);
  });
});
