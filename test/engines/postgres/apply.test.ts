import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LANE_0 } from '#lib/domain/ids.ts';
import { place } from '#lib/domain/log.ts';
import { LSN_ZERO } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { SegmentWriter } from '#lib/domain/segment/write.ts';
import { keepGuard } from '#lib/engines/postgres/lease-guard.ts';
import { prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { until } from '../../local/until.ts';
import { E1, E2, GROUP } from '../../support/log-history.ts';
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

async function pair(schema: string, more = '') {
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema + more, leader.log);
  /** Runs statements at the leader, has them captured and applied, and compares all tables. */
  const replicate = async (sql: string) => {
    await leader.client.query(sql);
    await leader.capture();
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  };
  return { leader, follower, replicate };
}

/** A log that holds the first records of a leader's, in one entry. */
async function headOf(leader: PostgresLeader, records: number): Promise<MemoryLog> {
  const log = new MemoryLog(GROUP);
  const writer = new SegmentWriter(GROUP);
  const [entry] = await leader.log.entries(LANE_0, LSN_ZERO, 1);
  const { info, forEach } = openSegment(await leader.log.getSegment(entry!));
  let last = '';
  forEach(({ kind, table, shard, sequence, commitMs, after }, ordinal) => {
    if (ordinal >= records) return;
    const body = after!;
    const sizes = { keyBytes: 0, afterBytes: body.length, beforeBytes: undefined };
    writer.add({ kind, table, shard, sequence, commitMs, body, ...sizes });
    last = sequence;
  });
  const { bytes, hash, count, rawBytes, minCommitMs, maxCommitMs } = writer.finish(info);
  const head = await log.head(LANE_0);
  await log.putSegment(hash, bytes, head);
  const marks = { [info.shards[0]!]: { sequence: last, atMs: maxCommitMs } };
  const draft = { hash, count, bytes: rawBytes, minCommitMs, maxCommitMs, marks };
  await log.append(LANE_0, head, [place(head, draft, E1)], E1);
  return log;
}

const PLAIN = 'CREATE TABLE t (id int PRIMARY KEY, v text, n numeric);';

describe('an applier', () => {
  test('applies inserts, updates, deletes, one and many, and truncation', async () => {
    const { replicate } = await pair(PLAIN);
    await replicate(`INSERT INTO t VALUES (1, 'a', 1.50)`);
    await replicate(`INSERT INTO t SELECT n, 'v' || n, n / 7.0 FROM generate_series(10, 500) n`);
    await replicate(`UPDATE t SET v = 'x' || id`);
    await replicate(`UPDATE t SET n = NULL WHERE id % 2 = 0; DELETE FROM t WHERE id % 3 = 0`);
    await replicate(`UPDATE t SET id = id + 1000 WHERE id < 100`);
    await replicate(`TRUNCATE t; INSERT INTO t VALUES (1)`);
    await replicate(`BEGIN; DELETE FROM t; INSERT INTO t VALUES (1, 'again'); UPDATE t SET n = 2; COMMIT`);
    await replicate(
      `BEGIN; INSERT INTO t VALUES (2); UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 3; COMMIT`,
    );
  });

  test.each(['binary', 'text'])('keeps values exact, travelling as %s', async (form) => {
    const columns = [
      ['bool', `true`],
      ['smallint', `-32768`],
      ['bigint', `9223372036854775807`],
      ['real', `'1e-37'`],
      ['double precision', `0.1 + 0.2`],
      ['float8', `'-Infinity'`],
      ['numeric', `'NaN'`],
      ['numeric(30,10)', `12345678901234567890.0123456789`],
      ['money', `'-1234.56'`],
      ['varchar(10)', `E'tab\\tline\\nback\\\\slash'`],
      ['char(5)', `'ab'`],
      ['text', `'ünï "quoted", {braces} \\N NULL'`],
      ['name', `'n'`],
      ['"char"', `'c'`],
      ['bytea', `'\\x00ff5c27'`],
      ['timestamp', `'0044-03-15 12:00:00.000001 BC'`],
      ['timestamptz', `'2026-11-25 16:00:00.123456+05:30'`],
      ['date', `'infinity'`],
      ['time', `'24:00:00'`],
      ['timetz', `'04:05:06.789-08'`],
      ['interval', `'-1 year 2 mons -3 days 04:05:06.7'`],
      ['uuid', `'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'`],
      ['json', `'{"b":1,  "a":2, "a":3}'`],
      ['jsonb', `'{"b":1e400, "a":[null,"\\u00e9"]}'`],
      ['xml', `'<a/>'`],
      ['inet', `'::1/64'`],
      ['cidr', `'10.0.0.0/8'`],
      ['macaddr', `'08:00:2b:01:02:03'`],
      ['bit(3)', `B'101'`],
      ['varbit', `B''`],
      ['point', `'(1.5,-2)'`],
      ['polygon', `'((0,0),(1,1),(1,0))'`],
      ['tsvector', `'a:1 b:2A'`],
      ['tsquery', `'a & !b'`],
      ['int4range', `'[1,5)'`],
      ['nummultirange', `'{[1.5,2],(3,)}'`],
      ['tstzrange', `'empty'`],
      ['int[]', `'[0:1][2:3]={{1,NULL},{3,4}}'`],
      ['text[]', `array['a"b', NULL, 'NULL', '']`],
      ['timestamptz[]', `'{}'`],
      ['pg_lsn', `'16/B374D848'`],
      ['mood', `'it''s, ok'`],
      ['positive', `7`],
    ] as const;
    const list = columns.map(([type], i) => `c${i} ${type}`).join(', ');
    const odd = form === 'text' ? 'CREATE TABLE odd (id int PRIMARY KEY, ms mood[], p pair, r regtype);' : '';
    const schema = `
      CREATE TYPE mood AS ENUM ('sad', 'it''s, ok'); CREATE DOMAIN positive AS int CHECK (value > 0);
      CREATE TYPE pair AS (a int, m mood); ${odd}
      CREATE TABLE every (id int PRIMARY KEY, ${list}); CREATE TABLE weird ("a ""b" mood, "T" text, PRIMARY KEY ("a ""b"))`;
    const { replicate } = await pair(schema);
    const values = columns.map(([type, value]) => `(${value})::${type}`).join(', ');
    await replicate(
      `INSERT INTO every SELECT n, ${values} FROM generate_series(1, 10) n; INSERT INTO every VALUES (99)`,
    );
    const set = columns.map(([type, value], i) => `c${i} = (${value})::${type}`).join(', ');
    await replicate(`UPDATE every SET ${set} WHERE id = 99; UPDATE every SET c0 = false WHERE id > 3`);
    await replicate(
      `INSERT INTO weird VALUES ('sad', E'\\\\'), ('it''s, ok', NULL); UPDATE weird SET "T" = E'x\\ty"'`,
    );
    if (form === 'text') {
      await replicate(
        `INSERT INTO odd SELECT n, '{sad,NULL}', '(1,sad)', 'int' FROM generate_series(1, 9) n`,
      );
      await replicate(
        `UPDATE odd SET ms = ms || 'sad'::mood WHERE id > 2; UPDATE odd SET p = NULL WHERE id = 9; DELETE FROM odd WHERE id < 3`,
      );
    }
  });

  test('leaves oversized values alone that an update left alone, also where the key changes', async () => {
    const { replicate } = await pair(
      'CREATE TABLE t (id int PRIMARY KEY, v text, n int); ALTER TABLE t ALTER v SET STORAGE EXTERNAL',
    );
    await replicate(`INSERT INTO t SELECT n, repeat('x', 9000 + n), 0 FROM generate_series(1, 5) n`);
    await replicate(`UPDATE t SET n = 1`);
    await replicate(
      `BEGIN; UPDATE t SET v = repeat('y', 9000) WHERE id = 1; UPDATE t SET n = 2; UPDATE t SET n = 3; COMMIT`,
    );
    await replicate(`UPDATE t SET id = id + 10`);
    await replicate(
      `BEGIN; INSERT INTO t VALUES (1, repeat('z', 9000)); UPDATE t SET id = 2 WHERE id = 1; UPDATE t SET n = 4; COMMIT`,
    );
  });

  test('knows rows by the whole of them, by an index, or not at all', async () => {
    const { replicate } = await pair(`
      CREATE TABLE f (a int, j json, v text); ALTER TABLE f REPLICA IDENTITY FULL;
      CREATE TABLE fk (id int PRIMARY KEY, v text); ALTER TABLE fk REPLICA IDENTITY FULL;
      CREATE TABLE i (a int NOT NULL, b int); CREATE UNIQUE INDEX ia ON i (a); ALTER TABLE i REPLICA IDENTITY USING INDEX ia;
      CREATE TABLE log (at int)`);
    await replicate(
      `INSERT INTO f SELECT n % 2, '{"a": 1}', NULL FROM generate_series(1, 6) n; INSERT INTO fk SELECT generate_series(1, 9)`,
    );
    await replicate(
      `INSERT INTO i SELECT n, n FROM generate_series(1, 9) n; INSERT INTO log SELECT generate_series(1, 9)`,
    );
    await replicate(
      `UPDATE f SET v = 'x' WHERE ctid = '(0,1)'; DELETE FROM f WHERE ctid = '(0,2)'; UPDATE f SET a = 5 WHERE a = 1`,
    );
    await replicate(
      `UPDATE fk SET v = 'x'; UPDATE fk SET id = id + 10 WHERE id < 4; DELETE FROM fk WHERE id = 5`,
    );
    await replicate(
      `UPDATE i SET b = 0; UPDATE i SET a = a + 10; DELETE FROM i WHERE a = 15; INSERT INTO log VALUES (1)`,
    );
  });

  test('writes what is generated, numbered, partitioned, and fires no trigger nor rule', async () => {
    const { replicate, follower, leader } = await pair(
      `CREATE TABLE g (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, b int GENERATED ALWAYS AS (a * 2) STORED);
       CREATE TABLE p (id int PRIMARY KEY, ref int REFERENCES g) PARTITION BY RANGE (id);
       CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100); CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);`,
      `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;
       CREATE TRIGGER no BEFORE INSERT OR UPDATE ON g FOR EACH ROW EXECUTE FUNCTION no();
       CREATE RULE nothing AS ON DELETE TO g DO INSTEAD NOTHING`,
    );
    await replicate(
      `INSERT INTO g (a) SELECT generate_series(1, 20); INSERT INTO p SELECT n * 9, n FROM generate_series(1, 20) n`,
    );
    await replicate(
      `UPDATE g SET a = a + 1 WHERE id < 9; UPDATE p SET id = id + 5; DELETE FROM p WHERE ref = 3; DELETE FROM g WHERE id = 3`,
    );
    await replicate(`UPDATE p SET id = 150 WHERE id = 14`);
    await expect(follower.client.query('INSERT INTO g (a) VALUES (1)')).rejects.toThrow('fired');
    expect(leader.url).not.toBe(follower.url);
  });

  test('lets rows trade a unique value, in one transaction or in many', async () => {
    const { replicate } = await pair(`
      CREATE TABLE u (id int PRIMARY KEY, name text UNIQUE);
      CREATE TABLE d (id int PRIMARY KEY, rank int UNIQUE DEFERRABLE INITIALLY IMMEDIATE)`);
    await replicate(
      `INSERT INTO u SELECT n, 'n' || n FROM generate_series(1, 9) n; INSERT INTO d SELECT n, n FROM generate_series(1, 9) n`,
    );
    await replicate(
      `UPDATE u SET name = 'free' WHERE id = 1; UPDATE u SET name = 'n1' WHERE id = 2; UPDATE u SET name = 'n2' WHERE id = 1`,
    );
    await replicate('UPDATE d SET rank = 10 - rank');
    await replicate(`DELETE FROM u WHERE id = 9; INSERT INTO u VALUES (10, 'n9')`);
  });

  test('stops at a change that does not fit, with nothing of its transaction, and goes on once it does', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query(`INSERT INTO t SELECT generate_series(1, 5)`);
    await leader.capture();
    await follower.apply();
    await follower.client.query('DELETE FROM t WHERE id = 3');
    await leader.client.query(`INSERT INTO t VALUES (6)`);
    await leader.client.query(`BEGIN; INSERT INTO t VALUES (7); UPDATE t SET v = 'x' WHERE id = 3; COMMIT`);
    await leader.capture();
    await expect(follower.apply()).rejects.toMatchObject({
      code: 'APPLY_CONFLICT',
      message: expect.stringMatching(/table public\.t at LSN 10 /),
    });
    expect((await contents(follower.client))['public.t']).toHaveLength(4);
    await follower.client.query('INSERT INTO t VALUES (3)');
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    await follower.client.query('INSERT INTO t VALUES (100)');
    await leader.client.query('INSERT INTO t VALUES (100)');
    await leader.capture();
    await expect(follower.apply()).rejects.toMatchObject({ code: 'APPLY_CONFLICT' });
    await follower.client.query('DELETE FROM t WHERE id = 100');
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('stops where a table has changed, says the statement, and goes on once it was run', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query(`INSERT INTO t VALUES (1); ALTER TABLE t ADD at timestamptz, ADD c varchar(7)`);
    await leader.client.query(`INSERT INTO t VALUES (2, 'b', 1, now(), 'c')`);
    await leader.capture();
    await follower.apply().catch(() => {});
    expect((await contents(follower.client))['public.t']).toEqual(['(1,,)']);
    const failure = (await follower.apply().catch((error) => error)) as { code: string; next: string };
    expect(failure.code).toBe('SCHEMA_DIFFERS');
    for (const [statement] of failure.next.matchAll(/ALTER TABLE [^;]+;/g))
      await follower.client.query(statement);
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    await leader.client.query(
      `CREATE TABLE new (id int PRIMARY KEY, v text); INSERT INTO new VALUES (1, 'x')`,
    );
    await leader.client.query(`ALTER TABLE t DROP c; INSERT INTO t VALUES (3)`);
    await leader.capture();
    const missing = (await follower.apply().catch((error) => error)) as { code: string; next: string };
    expect(missing.code).toBe('SCHEMA_DIFFERS');
    await follower.client.query(missing.next.match(/CREATE TABLE [^;]+;/)![0]);
    await follower.apply().catch(() => {});
    await follower.client.query('ALTER TABLE t DROP c');
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('shows nothing of a large transaction before its end, and begins it anew after a crash', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query(`INSERT INTO t VALUES (0)`);
    await leader.client.query(`INSERT INTO t SELECT n, repeat('x', 2000) FROM generate_series(1, 12000) n`);
    await leader.capture();
    // Two runs into the transaction, then the process dies.
    let runs = 0;
    await applyLog(follower.deps(), () => ++runs <= 3);
    expect((await contents(follower.client))['public.t']).toHaveLength(1);
    expect((await follower.checkpoints.applyState(LANE_0)).applied?.lsn).toBe(2n);
    await follower.restart();
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    expect((await follower.checkpoints.applyState(LANE_0)).applied?.lsn).toBe(12_003n);
  });

  test('drops a transaction whose leader died before its end was logged', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query('INSERT INTO t VALUES (1)');
    await leader.client.query('INSERT INTO t SELECT generate_series(2, 9)');
    await leader.capture();
    // Of the log of epoch 1, only the first half of the second transaction has survived; another server leads on.
    const log = await headOf(leader, 6);
    await follower.restart();
    const other = await PostgresFollower.start(postgres, PLAIN, log);
    await other.apply();
    expect((await contents(other.client))['public.t']).toEqual(['(1,,)']);
    // A slot is made once no transaction is open that it would not see whole.
    await other.restart();
    const next = await PostgresLeader.start(postgres, PLAIN, log, E2);
    await next.client.query('INSERT INTO t VALUES (2)');
    await next.capture('polled', log, E2);
    await other.roles.nameLeader({ leader: HOME, epoch: E2 });
    await other.roles.attach(E2);
    await other.apply();
    expect((await contents(other.client))['public.t']).toEqual(['(1,,)', '(2,,)']);
  });

  test('changes nothing once somebody else has the lease, even if it was in the middle', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query(`INSERT INTO t SELECT n, repeat('x', 2000) FROM generate_series(1, 9000) n`);
    await leader.capture();
    let runs = 0;
    const paused = follower.replica;
    const holding = await applyLog(follower.deps(paused), () => ++runs <= 1);
    expect(holding?.state.pending).toBeDefined();
    // Another applier takes over: it must not wait for the locks of the one that sleeps.
    follower.replica = follower.newReplica();
    await follower.apply();
    const applied = await contents(follower.client);
    expect(applied).toEqual(await contents(leader.client));
    await leader.client.query('DELETE FROM t');
    await leader.capture();
    // It wakes up: its open transaction is gone, its lease is lost.
    const woken = await applyLog(follower.deps(paused), () => ++runs <= 10, holding).catch(
      (error) => error.code,
    );
    expect([undefined, 'POSTGRES_UNREACHABLE']).toContain(woken);
    const again =
      holding &&
      (await applyLog(follower.deps(paused), () => ++runs <= 20, {
        ...holding,
        state: await follower.checkpoints.applyState(LANE_0),
      }));
    expect(again).toBeUndefined();
    expect(await contents(follower.client)).toEqual(applied);
    await paused.close();
  });

  test.each([
    ['a later record comes', true],
    ['nothing new comes', false],
  ])(
    'goes on from where the database stands, if a crash has taken back what it had committed and %s',
    async (_, comes) => {
      const { leader, follower, replicate } = await pair(PLAIN);
      await replicate('INSERT INTO t VALUES (1)');
      const { rows } = await follower.client.query('SELECT state FROM understudy.checkpoint');
      await replicate('INSERT INTO t VALUES (2)');
      // Commits are not waited for to be on disk: this is what a server that dies then comes back with.
      await follower.client.query('DELETE FROM t WHERE id = 2');
      await follower.client.query('UPDATE understudy.checkpoint SET state = $1', [rows[0]!.state]);
      await follower.client.query(
        `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
        WHERE application_name = 'understudy apply' AND datname = current_database()`,
      );
      if (comes) {
        await leader.client.query('INSERT INTO t VALUES (3)');
        await leader.capture();
      }
      await until('it holds all that the leader does', async () => {
        await follower.apply().catch(() => {});
        return isDeepStrictEqual(await contents(follower.client), await contents(leader.client));
      });
    },
  );

  test('does not commit without the lease, though its connection lives', async () => {
    const { leader, follower } = await pair(PLAIN);
    await leader.client.query('INSERT INTO t VALUES (1)');
    await leader.capture();
    await follower.apply();
    await follower.client.query('UPDATE understudy.checkpoint SET token = token + 1');
    await leader.client.query('INSERT INTO t VALUES (2)');
    await leader.capture();
    await follower.apply();
    expect(follower.telemetry.kinds()).toContain('apply-lease-lost');
    expect((await contents(follower.client))['public.t']).toEqual(['(1,,)']);
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('needs no superuser: keeps the order that foreign keys need, and refuses triggers that would fire', async () => {
    const schema = `${PLAIN} CREATE TABLE c (id int PRIMARY KEY, t int REFERENCES t);`;
    const leader = await PostgresLeader.start(postgres, schema);
    const follower = await PostgresFollower.start(postgres, schema, leader.log);
    const role = `role_${leader.slot}`;
    await follower.client.query(`
      CREATE ROLE ${role} LOGIN PASSWORD 'p'; GRANT USAGE, CREATE ON SCHEMA public TO ${role};
      ALTER TABLE t OWNER TO ${role}; ALTER TABLE c OWNER TO ${role};
      GRANT USAGE ON SCHEMA understudy TO ${role}; GRANT ALL ON understudy.checkpoint, understudy.seen_table TO ${role};
      GRANT EXECUTE ON FUNCTION pg_replication_origin_session_setup(text) TO ${role};
      GRANT EXECUTE ON FUNCTION pg_replication_origin_session_is_setup() TO ${role}`);
    const url = new URL(follower.url);
    url.username = role;
    url.password = 'p';
    const plain = await follower.as(url.href);
    // A guard lets it pass, although the lease is over.
    expect(await keepGuard(follower.client, 'strict')).toEqual([]);
    await follower.client.query(`SELECT setval('understudy.lease_end', 1)`);
    await leader.client.query(
      `BEGIN; INSERT INTO t SELECT generate_series(1, 20); INSERT INTO c SELECT n, n FROM generate_series(1, 20) n; COMMIT`,
    );
    await leader.client.query(
      `BEGIN; DELETE FROM c WHERE id > 5; DELETE FROM t WHERE id > 5; UPDATE t SET v = 'x'; COMMIT`,
    );
    await leader.capture();
    await plain.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
    await follower.client.query(`
      CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
      CREATE TRIGGER no BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION no()`);
    await leader.client.query('INSERT INTO t VALUES (100)');
    await leader.capture();
    await plain.restart();
    await expect(plain.apply()).rejects.toMatchObject({
      code: 'POSTGRES_REFUSED',
      message: expect.stringContaining('DISABLE TRIGGER "no"'),
    });
    await plain.restart();
  });

  test('leaves no trace in what its own database would send on', async () => {
    const { leader, follower } = await pair(PLAIN);
    await prepareLeader(follower.client, 'understudy', `own_${leader.slot}`);
    await leader.client.query(
      'INSERT INTO t SELECT generate_series(1, 100); UPDATE t SET v = id; TRUNCATE t; INSERT INTO t VALUES (1)',
    );
    await leader.capture();
    await follower.apply();
    const { rows } = await follower.client.query(
      `SELECT count(*)::int AS n FROM pg_logical_slot_peek_binary_changes('own_${leader.slot}', NULL, NULL,
        'proto_version', '1', 'publication_names', 'understudy', 'origin', 'none')
        WHERE get_byte(data, 0) IN (${['I', 'U', 'D', 'T'].map((tag) => tag.charCodeAt(0))})`,
    );
    // Only its own checkpoint, which no capture ships.
    expect(rows[0].n).toBeLessThanOrEqual(4);
    await follower.client.query(`SELECT pg_drop_replication_slot('own_${leader.slot}')`);
  });
});

test('the server dies while it applies: nothing is lost, nothing is applied twice', async () => {
  const server = await startTestPostgres();
  try {
    const leader = await PostgresLeader.start(postgres, PLAIN);
    const follower = await PostgresFollower.start(server, PLAIN, leader.log);
    for (let i = 0; i < 6; i++) {
      await leader.client.query(
        `INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(${i * 5000}, ${i * 5000 + 4999}) n`,
      );
    }
    await leader.capture();
    const applying = follower.apply().catch(() => {});
    await until(
      'something is applied',
      async () => (await follower.checkpoints.applyState(LANE_0)).applied!.lsn >= 0n,
    );
    await server.crash();
    await applying;
    await follower.restart();
    await follower.apply();
    const client = await server.connect(follower.url);
    expect(await contents(client)).toEqual(await contents(leader.client));
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
