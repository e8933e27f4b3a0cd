import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { keepGuard } from '#lib/engines/postgres/lease-guard.ts';
import { startPostgresServer } from '#lib/local/postgres-server.ts';
import type { BenchResult } from './result.ts';

const ACCOUNTS = 100_000;
const TELLERS = 10;
/** What pgbench makes, at scale 1. */
const SCHEMA = `
  CREATE TABLE branches (bid int PRIMARY KEY, bbalance int, filler char(88)) WITH (fillfactor = 50);
  CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84)) WITH (fillfactor = 50);
  CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84)) WITH (fillfactor = 90);
  CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
  INSERT INTO branches SELECT n, 0 FROM generate_series(1, ${TELLERS}) n;
  INSERT INTO tellers SELECT n, n, 0 FROM generate_series(1, ${TELLERS}) n;
  INSERT INTO accounts SELECT n, 1, 0 FROM generate_series(1, ${ACCOUNTS}) n`;
const TABLES = ['branches', 'tellers', 'accounts', 'history'];
const SESSIONS = 4;
const ROUND_MS = 1_000;
const ROUNDS = 7;

/** Its transaction, in one message: what the server does weighs more than it does with pgbench's own seven round trips. */
function transaction(session: number): string {
  const random = (n: number) => 1 + Math.floor(Math.random() * n);
  const [aid, tid, bid, delta] = [
    random(ACCOUNTS),
    random(TELLERS),
    1 + (session % TELLERS),
    random(9_999) - 5_000,
  ];
  return `BEGIN;
    UPDATE accounts SET abalance = abalance + ${delta} WHERE aid = ${aid};
    SELECT abalance FROM accounts WHERE aid = ${aid};
    UPDATE tellers SET tbalance = tbalance + ${delta} WHERE tid = ${tid};
    UPDATE branches SET bbalance = bbalance + ${delta} WHERE bid = ${bid};
    INSERT INTO history (tid, bid, aid, delta, mtime) VALUES (${tid}, ${bid}, ${aid}, ${delta}, CURRENT_TIMESTAMP);
    END`;
}

const STATEMENTS = (table: string, more = '') =>
  `CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON ${table} FOR EACH STATEMENT ${more} EXECUTE FUNCTION`;
const onEach = (sqlOf: (table: string) => string) => TABLES.map(sqlOf).join(';\n');

/** Other forms of the guard, for comparison; each reads a lease that lasts. */
const OTHERS = `
  CREATE SCHEMA other; CREATE TABLE other.lease (only_one boolean PRIMARY KEY, ends_at timestamptz);
  INSERT INTO other.lease VALUES (true, '9999-01-01');
  CREATE SEQUENCE other.lease_end START 253402300799000; SELECT nextval('other.lease_end');
  CREATE FUNCTION other.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'over'; END $$;
  CREATE FUNCTION other.query() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF clock_timestamp() >= (SELECT ends_at FROM other.lease) THEN RAISE EXCEPTION 'over'; END IF; RETURN coalesce(NEW, OLD); END $$;
  CREATE FUNCTION other.is_over() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$ BEGIN
    RETURN clock_timestamp() >= (SELECT ends_at FROM other.lease); END $$;
  CREATE FUNCTION other.once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF clock_timestamp() >= (SELECT ends_at FROM other.lease) THEN RAISE EXCEPTION 'over'; END IF;
    PERFORM set_config('other.seen', 'on', true); RETURN NULL; END $$`;
const SEQUENCE_IS_OVER = `clock_timestamp() >= to_timestamp(coalesce(pg_sequence_last_value('other.lease_end'::regclass), 0)::float8 / 1000)`;
const NOT_SEEN = `current_setting('other.seen', true) IS DISTINCT FROM 'on'`;

type Form = {
  readonly make: (client: pg.Client) => Promise<unknown>;
  readonly drop: (client: pg.Client) => Promise<unknown>;
};

const other = (
  make: (table: string) => string,
  drop = (table: string) => `DROP TRIGGER guard ON ${table}`,
): Form => ({
  make: (client) => client.query(onEach(make)),
  drop: (client) => client.query(onEach(drop)),
});

const FORMS: Readonly<Record<string, Form>> = {
  'guard-off': { make: async () => {}, drop: async () => {} },
  // What this project has.
  'guard-on': { make: (client) => keepGuard(client, 'on'), drop: (client) => keepGuard(client, 'off') },
  'guard-strict': {
    make: (client) => keepGuard(client, 'strict'),
    drop: (client) => keepGuard(client, 'off'),
  },
  'statement-trigger-that-queries': other((table) => `${STATEMENTS(table)} other.query()`),
  'row-trigger-that-queries': other(
    (table) =>
      `CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON ${table} FOR EACH ROW EXECUTE FUNCTION other.query()`,
  ),
  'when-reads-the-sequence': other(
    (table) => `${STATEMENTS(table, `WHEN (${SEQUENCE_IS_OVER})`)} other.refuse()`,
  ),
  'when-calls-a-function': other((table) => `${STATEMENTS(table, 'WHEN (other.is_over())')} other.refuse()`),
  'first-statement-of-a-transaction': other(
    (table) => `${STATEMENTS(table, `WHEN (${NOT_SEEN})`)} other.once()`,
  ),
  'check-constraint': other(
    (table) => `ALTER TABLE ${table} ADD CONSTRAINT guard CHECK (NOT other.is_over()) NOT VALID`,
    (table) => `ALTER TABLE ${table} DROP CONSTRAINT guard`,
  ),
  'row-level-security': other(
    (table) => `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
      CREATE POLICY guard ON ${table} USING (true) WITH CHECK (clock_timestamp() < (SELECT ends_at FROM other.lease))`,
    (table) =>
      `DROP POLICY guard ON ${table}; ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY`,
  ),
};

/** Transactions a second of all sessions together. */
async function throughput(sessions: readonly pg.Client[]): Promise<number> {
  const start = performance.now();
  let done = 0;
  await Promise.all(
    sessions.map(async (client, session) => {
      while (performance.now() - start < ROUND_MS) {
        await client.query(transaction(session));
        done += 1;
      }
    }),
  );
  return (done * 1000) / (performance.now() - start);
}

/**
 * What the lease guard costs: transactions as pgbench's, each on disk before it is acknowledged, with and without it, in turns on one
 * server. A ratio is that of a turn with a form to the turns without any just before and after it; told is the median.
 */
export async function benchGuard(): Promise<readonly BenchResult[]> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-bench-'));
  await chmod(folder, 0o755);
  const settings = { fsync: 'on', shared_buffers: '256MB', max_wal_size: '4GB', autovacuum: 'off' };
  const directory = await mkdtemp(join(folder, 'a-'));
  const server = await startPostgresServer({ directory, settings });
  const clients: pg.Client[] = [];
  const connect = async (url: string) => {
    const client = new pg.Client(url);
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  try {
    const admin = await connect(server.url());
    // Row-level security does not hold a superuser.
    await admin.query(`CREATE ROLE app LOGIN PASSWORD 'a'; ${SCHEMA}; ${OTHERS}; GRANT ALL ON ALL TABLES IN SCHEMA public, other TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA other TO app;
      GRANT USAGE ON SCHEMA other TO app`);
    const url = Object.assign(new URL(server.url()), { username: 'app', password: 'a' }).href;
    const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => connect(url)));
    const ratios = new Map(Object.keys(FORMS).map((name) => [name, [] as number[]]));
    const plain: number[] = [];
    await throughput(sessions);
    let before = await throughput(sessions);
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const [name, { make, drop }] of Object.entries(FORMS)) {
        await admin.query('VACUUM branches, tellers, accounts');
        await make(admin);
        const guarded = await throughput(sessions);
        await drop(admin);
        await admin.query('VACUUM branches, tellers, accounts');
        const after = await throughput(sessions);
        ratios.get(name)!.push(guarded / ((before + after) / 2));
        plain.push(after);
        before = after;
      }
    }
    const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
    return [
      {
        name: 'guard-throughput-ratio',
        // The dearer one of the two.
        value: Math.min(...['guard-on', 'guard-strict'].map((name) => median(ratios.get(name)!))),
        unit: 'ratio',
        goal: '>= 0.95',
      },
      ...[...ratios].map(([name, values]) => ({
        name: `${name}-ratio`,
        value: median(values),
        unit: 'ratio',
        goal: null,
      })),
      {
        name: 'guard-off-transactions-per-second',
        value: Math.round(median(plain)),
        unit: '1/s',
        goal: null,
      },
    ];
  } finally {
    await Promise.all(clients.map((client) => client.end()));
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
