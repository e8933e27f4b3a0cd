import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { keepGuard } from '#lib/engines/postgres/lease-guard.ts';
import { wireOf } from '#lib/engines/postgres/wire.ts';
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
const READY_FOR_QUERY = 0x5a;
const ERROR_RESPONSE = 0x45;
const TABLES = ['branches', 'tellers', 'accounts', 'history'];
const SESSIONS = 4;
const TURN_MS = 250;
const ROUNDS = 21;

/** Its transaction, message by message, as it sends it. */
function transaction(session: number): readonly string[] {
  const random = (n: number) => 1 + Math.floor(Math.random() * n);
  const [aid, tid, bid, delta] = [
    random(ACCOUNTS),
    random(TELLERS),
    1 + (session % TELLERS),
    random(9_999) - 5_000,
  ];
  return [
    'BEGIN',
    `UPDATE accounts SET abalance = abalance + ${delta} WHERE aid = ${aid}`,
    `SELECT abalance FROM accounts WHERE aid = ${aid}`,
    `UPDATE tellers SET tbalance = tbalance + ${delta} WHERE tid = ${tid}`,
    `UPDATE branches SET bbalance = bbalance + ${delta} WHERE bid = ${bid}`,
    `INSERT INTO history (tid, bid, aid, delta, mtime) VALUES (${tid}, ${bid}, ${aid}, ${delta}, CURRENT_TIMESTAMP)`,
    'END',
  ];
}

/** A connection as bare as pgbench's: what a client of objects and promises takes would hide what the server does. */
class BareSession {
  readonly #socket: Duplex;
  #answer: Buffer = Buffer.alloc(0);
  #settle: PromiseWithResolvers<void> | undefined;

  /** From now on the client is this session's. */
  constructor(client: pg.Client) {
    this.#socket = wireOf(client).stream;
    this.#socket.removeAllListeners('data');
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  query(sql: string): Promise<void> {
    const message = Buffer.alloc(6 + Buffer.byteLength(sql));
    message.write('Q');
    message.writeUInt32BE(message.length - 1, 1);
    message.write(sql, 5);
    this.#settle = Promise.withResolvers();
    this.#socket.write(message);
    return this.#settle.promise;
  }

  #take(chunk: Buffer): void {
    const bytes = this.#answer.length === 0 ? chunk : Buffer.concat([this.#answer, chunk]);
    let at = 0;
    while (at + 5 <= bytes.length) {
      const end = at + 1 + bytes.readUInt32BE(at + 1);
      if (end > bytes.length) break;
      if (bytes[at] === ERROR_RESPONSE) this.#settle?.reject(new Error(bytes.toString('latin1', at, end)));
      if (bytes[at] === READY_FOR_QUERY) this.#settle?.resolve();
      at = end;
    }
    this.#answer = bytes.subarray(at);
  }
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

type Form = (client: pg.Client) => Promise<unknown>;

const other =
  (make: (table: string) => string): Form =>
  (client) =>
    client.query(onEach(make));

const FORMS: Readonly<Record<string, Form>> = {
  // Another database without one: how exact the run is.
  'guard-off': async () => {},
  // What this project has.
  'guard-on': (client) => keepGuard(client, 'on'),
  'guard-strict': (client) => keepGuard(client, 'strict'),
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
  ),
  'row-level-security': other(
    (table) => `ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
      CREATE POLICY guard ON ${table} USING (true) WITH CHECK (clock_timestamp() < (SELECT ends_at FROM other.lease))`,
  ),
};

type Database = { readonly admin: pg.Client; readonly sessions: readonly BareSession[] };

/** Transactions a second of all sessions together. */
async function throughput(sessions: readonly BareSession[]): Promise<number> {
  const start = performance.now();
  let done = 0;
  await Promise.all(
    sessions.map(async (client, session) => {
      while (performance.now() - start < TURN_MS) {
        for (const sql of transaction(session)) await client.query(sql);
        done += 1;
      }
    }),
  );
  return (done * 1000) / (performance.now() - start);
}

/**
 * What the lease guard costs: transactions as pgbench's, each on disk before it is acknowledged, in databases of one server, each with a
 * form of it, in short turns. A ratio is that of a turn to the turns at one without any just before and after it; told is the median.
 */
export async function benchGuard(): Promise<readonly BenchResult[]> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-bench-'));
  await chmod(folder, 0o755);
  const settings = { fsync: 'on', shared_buffers: '512MB', max_wal_size: '4GB', autovacuum: 'off' };
  const directory = await mkdtemp(join(folder, 'a-'));
  const server = await startPostgresServer({ directory, settings });
  const clients: pg.Client[] = [];
  const connect = async (user: Readonly<Partial<URL>>) => {
    const client = new pg.Client(Object.assign(new URL(server.url()), user).href);
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  };
  const databases: Database[] = [];
  const open = async (make: Form): Promise<Database> => {
    const pathname = `/bench${databases.length}`;
    await root.query(`CREATE DATABASE ${pathname.slice(1)}`);
    const admin = await connect({ pathname });
    await admin.query(`${SCHEMA}; ${OTHERS}; GRANT ALL ON ALL TABLES IN SCHEMA public, other TO app;
      GRANT ALL ON ALL SEQUENCES IN SCHEMA other TO app; GRANT USAGE ON SCHEMA other TO app`);
    await make(admin);
    // Row-level security does not hold a superuser.
    const app = { pathname, username: 'app', password: 'a' };
    const opened = await Promise.all(Array.from({ length: SESSIONS }, () => connect(app)));
    const sessions = opened.map((client) => new BareSession(client));
    const database = { admin, sessions };
    databases.push(database);
    await throughput(sessions);
    return database;
  };
  const root = await connect({});
  try {
    await root.query(`CREATE ROLE app LOGIN PASSWORD 'a'`);
    const plain = await open(async () => {});
    const forms: { name: string; ratios: number[]; sessions: Database['sessions'] }[] = [];
    for (const [name, make] of Object.entries(FORMS)) {
      forms.push({ name, ratios: [], sessions: (await open(make)).sessions });
    }
    const alone: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const { admin } of databases) await admin.query('VACUUM branches, tellers, accounts');
      await throughput(plain.sessions);
      let before = await throughput(plain.sessions);
      for (const { ratios, sessions } of forms) {
        const guarded = await throughput(sessions);
        const after = await throughput(plain.sessions);
        ratios.push(guarded / ((before + after) / 2));
        alone.push(after);
        before = after;
      }
    }
    const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1]!;
    const results = forms.map(({ name, ratios }) => ({
      name: `${name}-ratio`,
      value: median(ratios),
      unit: 'ratio',
      goal: null,
    }));
    // The dearer one of what this project has.
    const own = results.filter(({ name }) => name === 'guard-on-ratio' || name === 'guard-strict-ratio');
    const value = Math.min(...own.map((each) => each.value));
    return [
      { name: 'guard-throughput-ratio', value, unit: 'ratio', goal: '>= 0.95' },
      ...results,
      {
        name: 'guard-off-transactions-per-second',
        value: Math.round(median(alone)),
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
