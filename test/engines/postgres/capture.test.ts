import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PostgresEngine } from '#functions/engines/postgres-engine.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { LSN_ZERO, parseEpoch } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { parseGroup, type Role } from '#lib/domain/topology.ts';
import { commitLsnOf } from '#lib/engines/postgres/captured-change.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { takeTables } from '#lib/engines/postgres/segment-tables.ts';
import { StreamedSlot } from '#lib/engines/postgres/streamed-slot.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { until } from '../../local/until.ts';
import { intercepted } from '../../support/intercepted-log.ts';
import { E1, E2 } from '../../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { AWAY } from '../../support/postgres-follower.ts';
import { HOME, PostgresLeader } from '../../support/postgres-leader.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres({ max_slot_wal_keep_size: '32MB' });
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const SCHEMA = 'CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)';
const kinds = async (leader: PostgresLeader) => (await leader.logged()).map(({ kind }) => kind);

describe.each(['polled', 'streamed'] as const)('a slot that is %s', (source) => {
  test('puts transactions into the log whole, in the order in which they committed', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    const other = await postgres.connect(leader.url);
    await other.query('BEGIN; INSERT INTO t VALUES (1)');
    await leader.client.query('INSERT INTO u VALUES (1)');
    await other.query('SAVEPOINT s; INSERT INTO t VALUES (2); ROLLBACK TO s; UPDATE t SET v = $$x$$; COMMIT');
    await leader.client.query('BEGIN; INSERT INTO t VALUES (3); ROLLBACK');
    await leader.client.query('TRUNCATE t');
    await leader.capture(source);
    const logged = await leader.logged();
    expect(logged.map(({ kind, table }) => `${kind} ${table}`)).toEqual([
      'insert public.u',
      'marker public.u',
      'insert public.t',
      'update public.t',
      'marker public.t',
      'statement public.t',
      'marker public.t',
    ]);
    const commits = logged.map(({ sequence }) => commitLsnOf(sequence));
    expect(commits).toEqual([...commits].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(commits).size).toBe(3);
  });

  test('confirms nothing that is not in the log, and logs once what is delivered twice', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query('INSERT INTO t SELECT generate_series(1, 10)');
    const before = await leader.client.query('SELECT confirmed_flush_lsn FROM pg_replication_slots');
    const down = intercepted(leader.log, {
      append: () => () => Promise.reject(new Error('the log is down')),
    });
    await expect(leader.capture(source, down)).rejects.toThrow('the log is down');
    expect((await leader.client.query('SELECT confirmed_flush_lsn FROM pg_replication_slots')).rows).toEqual(
      before.rows,
    );
    // Dies after the append, before the confirmation.
    const dying = leader.source(source);
    dying.confirm = () => Promise.reject(new Error('died'));
    await expect(captureSource(leader.deps(), LANE_0, dying, new AbortController().signal)).rejects.toThrow(
      'died',
    );
    expect(await kinds(leader)).toHaveLength(11);
    await until('the slot is free', async () => !(await leader.isRead()));
    await leader.client.query('INSERT INTO t VALUES (11)');
    await leader.capture(source);
    expect(await kinds(leader)).toHaveLength(13);
    const sequences = (await leader.logged()).map(({ sequence }) => sequence);
    expect(new Set(sequences).size).toBe(13);
  });

  test('takes a large transaction in several segments, and goes on in its middle', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query(`INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 12000) n`);
    let appends = 0;
    const dying = intercepted(leader.log, {
      append:
        (next) =>
        (...given) => {
          if (++appends === 2) throw new Error('died');
          return next(...given);
        },
    });
    await expect(leader.capture(source, dying)).rejects.toThrow('died');
    const half = (await kinds(leader)).length;
    expect(half).toBeGreaterThan(0);
    expect(half).toBeLessThan(12_000);
    await until('the slot is free', async () => !(await leader.isRead()));
    await leader.capture(source);
    expect(await kinds(leader)).toHaveLength(12_001);
    expect((await leader.log.entries(LANE_0, LSN_ZERO, 100)).length).toBeGreaterThanOrEqual(3);
  });

  test('lets the server forget its log though no table changes', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query('CREATE TABLE later ()');
    // Waits until the slot has passed what was written up to here.
    await leader.capture(source);
    expect(await kinds(leader)).toEqual([]);
    expect(leader.telemetry.metric('SlotRetainedBytes')).toBeGreaterThanOrEqual(0);
  });

  test('does not send again what an applier wrote, and sends what others wrote in between', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    const origin = `origin_${leader.slot}`;
    const applier = await postgres.connect(leader.url);
    await applier.query('SELECT pg_replication_origin_create($1)', [origin]);
    await applier.query('SELECT pg_replication_origin_session_setup($1)', [origin]);
    await applier.query('INSERT INTO t VALUES (1)');
    await leader.client.query('INSERT INTO u VALUES (2)');
    await applier.query('INSERT INTO t VALUES (3)');
    await leader.capture(source);
    expect((await leader.logged()).map(({ table }) => table)).toEqual(['public.u', 'public.u']);
    await applier.end();
  });

  test('describes a table anew once it has changed', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query('INSERT INTO t VALUES (1)');
    await leader.client.query('ALTER TABLE t ADD w int; INSERT INTO t VALUES (2)');
    await leader.client.query(
      'BEGIN; DROP TABLE u; ALTER TABLE t RENAME TO u; INSERT INTO u VALUES (3); COMMIT',
    );
    await leader.capture(source);
    expect((await leader.logged()).map(({ table }) => table)).toEqual([
      'public.t',
      'public.t',
      'public.t',
      'public.t',
      'public.u',
      'public.u',
    ]);
    const described: (string | undefined)[] = [];
    for (const entry of await leader.log.entries(LANE_0, LSN_ZERO, 100)) {
      const { info } = openSegment(await leader.log.getSegment(entry));
      for (const table of takeTables(info.schema, info.tables.length)) {
        described.push(`${table?.name} ${table?.relation.columns.map(({ name }) => name)}`);
      }
    }
    expect([...new Set(described)]).toEqual(['public.t id,v', 'public.t id,v,w', 'public.u id,v,w']);
  });

  test('sends values as text where their binary form would mean something else in another database', async () => {
    const leader = await PostgresLeader.start(
      postgres,
      `CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE m (id int PRIMARY KEY, moods mood[]); CREATE TABLE r (c regclass)`,
    );
    await leader.client.query(`INSERT INTO m VALUES (1, '{sad}')`);
    await leader.capture(source);
    expect(await kinds(leader)).toEqual(['insert', 'marker']);
    const [entry] = await leader.log.entries(LANE_0, LSN_ZERO, 1);
    const bodies: string[] = [];
    openSegment(await leader.log.getSegment(entry!)).forEach(({ after }) => {
      bodies.push(Buffer.from(after!).toString('latin1'));
    });
    expect(bodies[0]).toContain('{sad}');
  });

  test('sends values as text of a column of such a type that is gone, and all that came with it once', async () => {
    const leader = await PostgresLeader.start(
      postgres,
      `CREATE TYPE mood AS ENUM ('sad'); CREATE TABLE m (id int PRIMARY KEY, at regclass, moods mood[])`,
    );
    await leader.client.query('CREATE TABLE before (id int PRIMARY KEY); INSERT INTO before VALUES (1)');
    await leader.client.query(`INSERT INTO m VALUES (1, 'm', '{sad}')`);
    await leader.client.query(`ALTER TABLE m DROP at; INSERT INTO m VALUES (2, '{sad}')`);
    await leader.client.query('ALTER TABLE m DROP moods; DROP TYPE mood; INSERT INTO m VALUES (3)');
    await leader.capture(source);
    const values: string[] = [];
    for (const entry of await leader.log.entries(LANE_0, LSN_ZERO, 100)) {
      openSegment(await leader.log.getSegment(entry)).forEach(({ kind, after }) => {
        if (kind === 'insert') values.push(Buffer.from(after!).toString('latin1'));
      });
    }
    expect(values).toHaveLength(4);
    expect(values[1]).toMatch(/m.*{sad}/s);
    expect(values[2]).toContain('{sad}');
  });

  test('stops at a publication that leaves out changes, says what mends it, and goes on', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    for (const narrow of [`SET (publish = 'insert')`, 'SET (publish_via_partition_root = false)']) {
      await leader.client.query(`ALTER PUBLICATION understudy ${narrow}`);
      const failure = await leader.capture(source).catch((error) => error);
      expect(failure).toMatchObject({ code: 'PUBLICATION_UNFIT', retry: 'later' });
      await leader.client.query(/ALTER .*;/.exec(failure.next)![0]);
    }
    await leader.client.query('INSERT INTO t VALUES (1); UPDATE t SET v = $$x$$; DELETE FROM t');
    await leader.capture(source);
    expect(await kinds(leader)).toEqual(['insert', 'update', 'delete', 'marker']);
  });

  test.each<[string, string, string, string]>([
    [
      'its kinds of changes',
      'FOR ALL TABLES',
      `SET (publish = 'insert')`,
      `SET (publish = 'insert, update, delete, truncate')`,
    ],
    ['a row filter', 'FOR TABLE t, u', 'SET TABLE t WHERE (id > 9), u', 'SET TABLE t, u'],
    ['its tables', 'FOR TABLE t, u', 'DROP TABLE t', 'ADD TABLE t'],
    [
      'its schemas',
      'FOR TABLES IN SCHEMA public',
      'DROP TABLES IN SCHEMA public',
      'ADD TABLES IN SCHEMA public',
    ],
  ])(
    'stops at a publication that was narrowed and mended in between, by %s, until somebody says that it is known',
    async (_, tables, narrow, mend) => {
      const published = `CREATE PUBLICATION understudy ${tables} WITH (publish_via_partition_root = true)`;
      const leader = await PostgresLeader.start(postgres, `${SCHEMA}; ${published}`);
      await leader.client.query('INSERT INTO t VALUES (1)');
      await leader.capture(source);
      await leader.client.query(`ALTER PUBLICATION understudy ${narrow}`);
      await leader.client.query('UPDATE t SET v = $$left out$$');
      await leader.client.query(`ALTER PUBLICATION understudy ${mend}`);
      await leader.client.query('INSERT INTO t VALUES (2)');
      for (let times = 0; times < 2; times++) {
        const failure = await leader.capture(source).catch((error) => error);
        expect(failure).toMatchObject({
          code: 'PUBLICATION_UNFIT',
          message: expect.stringContaining('altered'),
        });
        await until('the slot is free', async () => !(await leader.isRead()));
        if (times === 1) await leader.client.query(/DELETE .*?;/.exec(failure.next)![0]);
      }
      await leader.capture(source);
      expect(await kinds(leader)).toEqual(['insert', 'marker', 'insert', 'marker']);
    },
  );

  test('goes on where nothing can have been left out: tables are added, as they were made or emptied', async () => {
    const published = 'CREATE PUBLICATION understudy FOR TABLE t WITH (publish_via_partition_root = true)';
    const leader = await PostgresLeader.start(postgres, `${SCHEMA}; ${published}`);
    await leader.capture(source);
    await leader.client.query(
      `CREATE TABLE w (id int PRIMARY KEY); ALTER PUBLICATION understudy SET TABLE t, u, w`,
    );
    await leader.client.query('ALTER TABLE t ADD n int; TRUNCATE u; DROP TABLE w');
    await leader.client.query('VACUUM FREEZE pg_publication, pg_publication_rel');
    await leader.client.query('VACUUM FULL pg_publication, pg_publication_rel');
    await leader.client.query('INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)');
    await leader.capture(source);
    expect(await kinds(leader)).toEqual(['statement', 'marker', 'insert', 'insert', 'marker']);
  });

  test('stops at a missing publication, and at what was changed meanwhile: nothing is confirmed', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    const confirmed = async () =>
      (await leader.client.query(`SELECT confirmed_flush_lsn FROM pg_replication_slots`)).rows;
    await leader.client.query('INSERT INTO t VALUES (1)');
    await leader.capture(source);
    const before = await confirmed();
    await leader.client.query('DROP PUBLICATION understudy; INSERT INTO t VALUES (2)');
    const failure = await leader.capture(source).catch((error) => error);
    expect(failure).toMatchObject({ code: 'PUBLICATION_UNFIT' });
    await leader.client.query(/CREATE .*;/.exec(failure.next)![0]);
    await leader.client.query('INSERT INTO t VALUES (3)');
    await expect(leader.capture(source)).rejects.toMatchObject({
      code: 'PUBLICATION_UNFIT',
      next: expect.stringContaining('new slot'),
    });
    expect(await kinds(leader)).toEqual(['insert', 'marker']);
    expect(await confirmed()).toEqual(before);
  });

  test('says that a slot is lost, be it dropped or left behind by the server', async () => {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    await leader.client.query('SELECT pg_drop_replication_slot($1)', [leader.slot]);
    await expect(leader.capture(source)).rejects.toMatchObject({ code: 'SLOT_LOST' });
    const other = await PostgresLeader.start(postgres, SCHEMA);
    await until('the server has given the slot up', async () => {
      await other.client.query(`SELECT pg_logical_emit_message(false, 'fill', repeat('x', 16777000))`);
      await other.client.query('SELECT pg_switch_wal()');
      await other.client.query('CHECKPOINT');
      const { rows } = await other.client.query(
        `SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${other.slot}'`,
      );
      return rows[0].wal_status === 'lost';
    });
    await expect(other.capture(source)).rejects.toMatchObject({ code: 'SLOT_LOST' });
  });
});

test('a reader of a newer epoch ends one of an older epoch, and not the other way round', async () => {
  const leader = await PostgresLeader.start(postgres, SCHEMA);
  const frozen = new AbortController();
  const reading = captureSource(leader.deps(), LANE_0, leader.source('streamed'), frozen.signal);
  const outcome = reading.then(
    () => 'ended',
    (error) => (error as { code: string }).code,
  );
  await until('the slot is read', () => leader.isRead());
  await expect(
    captureSource(leader.deps(), LANE_0, leader.source('polled'), new AbortController().signal),
  ).rejects.toMatchObject({ code: 'SLOT_BUSY' });
  expect(await leader.isRead()).toBe(true);
  await expect(
    captureSource(leader.deps(), LANE_0, leader.source('polled', E2), new AbortController().signal),
  ).rejects.toMatchObject({ code: 'SLOT_BUSY' });
  expect(await outcome).toBe('POSTGRES_UNREACHABLE');
  await until('the slot is free', async () => !(await leader.isRead()));
  await leader.client.query('INSERT INTO t VALUES (1)');
  await leader.control.nameLeader({ leader: HOME, epoch: E2 });
  await captureSource(leader.deps(), LANE_0, leader.source('polled', E2), new AbortController().signal);
  expect(await kinds(leader)).toEqual(['insert', 'marker']);
});

test('a small transaction is one entry, however its bytes arrive', async () => {
  const leader = await PostgresLeader.start(postgres, SCHEMA);
  const { port } = new URL(leader.url);
  // Delivers a few bytes at a time, as a connection may that is encrypted.
  const pieces = createServer({ noDelay: true }, (socket) => {
    const server = connect(Number(port), '127.0.0.1');
    socket.pipe(server);
    for (const [one, other] of [
      [socket, server],
      [server, socket],
    ] as const)
      one.on('error', () => {}).on('close', () => other.destroy());
    let sent = Promise.resolve();
    server.on('data', (chunk: Buffer) => {
      sent = sent.then(async () => {
        for (let at = 0; at < chunk.length; at += 20) {
          socket.write(chunk.subarray(at, at + 20));
          await setImmediate();
        }
      });
    });
  });
  await once(pieces.listen(0, '127.0.0.1'), 'listening');
  try {
    const url = new URL(leader.url);
    url.port = String((pieces.address() as AddressInfo).port);
    const { slot, telemetry } = leader;
    const deps = { slot, publication: 'understudy', region: HOME, epoch: E1, telemetry };
    const source = new StreamedSlot({ ...deps, connect: connector({ connectionString: url.href }) });
    const stop = new AbortController();
    const reading = captureSource(leader.deps(), LANE_0, source, stop.signal);
    for (let i = 0; i < 5; i += 1) await leader.client.query(`INSERT INTO t VALUES (${i}, 'a row')`);
    await until('all is logged', async () => (await leader.logged()).length === 10);
    stop.abort();
    await reading;
    const entries = await leader.log.entries(LANE_0, LSN_ZERO, 100);
    expect(entries.filter(({ count }) => count % 2 === 1)).toEqual([]);
  } finally {
    pieces.close();
  }
});

test('what a publication left out is nothing to a database that follows, and is to one that leads, or has led', async () => {
  const leader = await PostgresLeader.start(postgres, SCHEMA);
  const { slot, telemetry } = leader;
  const group = parseGroup({
    group: 'orders',
    engine: { kind: 'postgres', databases: {}, publication: 'understudy', slot },
    regions: [{ name: HOME }, { name: AWAY }],
  });
  const { changes } = new PostgresEngine(group as ConstructorParameters<typeof PostgresEngine>[0], {
    connectTo: () => leader.connect,
    telemetry,
  });
  const opened = async (role: Role) => {
    if (changes.kind !== 'fetched') return 'not fetched';
    try {
      for await (const _ of changes.source(HOME, role).batches(AbortSignal.abort()));
      return 'opened';
    } catch (error) {
      return (error as { code: string }).code;
    } finally {
      await until('the slot is free', async () => !(await leader.isRead()));
    }
  };
  const alter = () =>
    leader.client.query(
      `ALTER PUBLICATION understudy SET (publish = 'insert'); ALTER PUBLICATION understudy SET (publish = 'insert, update, delete, truncate')`,
    );
  const E3 = parseEpoch(3);
  expect(await opened({ leader: AWAY, epoch: E1, attached: E1 })).toBe('opened');
  await alter();
  expect(await opened({ leader: AWAY, epoch: E1, attached: E1 })).toBe('opened');
  expect(await opened({ leader: HOME, epoch: E2, attached: E2 })).toBe('opened');
  await alter();
  expect(await opened({ leader: HOME, epoch: E2, attached: E2 })).toBe('PUBLICATION_UNFIT');
  expect(await opened({ leader: AWAY, epoch: E3, attached: E2, led: E2 })).toBe('PUBLICATION_UNFIT');
  expect(await opened({ leader: AWAY, epoch: E3, attached: E3 })).toBe('opened');
  expect(await opened({ leader: HOME, epoch: E3, attached: E3 })).toBe('opened');
});
