import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { advanceSequences } from '#lib/engines/postgres/sequences.ts';
import { beat } from '#lib/engines/postgres/write-path.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { PostgresFollower } from '../../support/postgres-follower.ts';
import { PostgresLeader } from '../../support/postgres-leader.ts';

const E2 = parseEpoch(2);
const E3 = parseEpoch(3);
const GAP = 10_000n;
let postgres: TestPostgres;
let client: pg.Client;
let url: string;

beforeAll(async () => {
  postgres = await startTestPostgres();
}, 60_000);
afterAll(() => postgres?.[Symbol.asyncDispose]());
beforeEach(async () => {
  url = await postgres.createDatabase();
  client = await postgres.connect(url);
  await prepareFollower(client, `origin_${Math.random()}`);
});

const advance = (epoch = E2) => advanceSequences(connector({ connectionString: url }), epoch);
const next = async (sequence: string) =>
  BigInt((await client.query('SELECT nextval($1) AS n', [sequence])).rows[0].n);

describe('a sequence of a database that is to lead', () => {
  test('goes past what its column holds, however that came there, and past a gap', async () => {
    await client.query(`
      CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, other serial UNIQUE, plain serial);
      CREATE SEQUENCE shared; CREATE TABLE invoices (n int DEFAULT nextval('shared') PRIMARY KEY);
      INSERT INTO orders OVERRIDING SYSTEM VALUE VALUES (5000000, 70, 900);
      INSERT INTO invoices VALUES (123456)`);
    expect(await advance()).toBe(4);
    expect(await next('orders_id_seq')).toBe(5_000_000n + GAP + 1n);
    expect(await next('orders_other_seq')).toBe(70n + GAP + 1n);
    expect(await next('shared')).toBe(123_456n + GAP + 1n);
    // No index: nothing holds its values apart, and to look for the largest would take as long as the table is.
    expect(await next('orders_plain_seq')).toBe(1n + GAP + 1n);
  });

  test('of a partitioned table goes past what the partitions hold', async () => {
    await client.query(`
      CREATE TABLE logs (id bigserial PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE logs_1 PARTITION OF logs FOR VALUES FROM (0) TO (1000); CREATE TABLE logs_2 PARTITION OF logs DEFAULT;
      INSERT INTO logs VALUES (7), (88888)`);
    await advance();
    expect(await next('logs_id_seq')).toBe(88_888n + GAP + 1n);
  });

  test('goes past what the leader has told of it', async () => {
    const name = `"Odd"."tick'et"`;
    await client.query(`CREATE SCHEMA "Odd"; CREATE SEQUENCE ${name}`);
    await client.query('UPDATE understudy.sequences SET told = $1', [{ [name]: '777000' }]);
    await advance();
    expect(await next(name)).toBe(777_000n + GAP + 1n);
  });

  test('keeps to its range and its direction', async () => {
    await client.query(`
      CREATE TABLE small (id smallserial PRIMARY KEY); INSERT INTO small VALUES (100);
      CREATE TABLE full_up (id smallserial PRIMARY KEY); INSERT INTO full_up VALUES (32767);
      CREATE SEQUENCE down AS int INCREMENT -2 MINVALUE -1000000000 START -1;
      CREATE TABLE falls (id int DEFAULT nextval('down') PRIMARY KEY); INSERT INTO falls VALUES (-500)`);
    await advance();
    expect(await next('small_id_seq')).toBe(100n + 327n + 1n);
    expect((await client.query('SELECT last_value FROM full_up_id_seq')).rows[0].last_value).toBe('32767');
    expect(await next('down')).toBe(-500n - 2n * GAP - 2n);
  });

  test('never goes back, nor on twice in an epoch, nor round', async () => {
    await client.query(
      `CREATE SEQUENCE far START 900000; SELECT nextval('far'); CREATE SEQUENCE round MAXVALUE 9 CYCLE`,
    );
    expect(await advance()).toBe(1);
    expect(await advance()).toBe(0);
    expect(await next('far')).toBe(900_000n + GAP + 1n);
    expect(await advance(E3)).toBe(1);
    expect(await next('far')).toBe(900_000n + 2n * GAP + 2n);
    expect(await next('round')).toBe(1n);
  });
});

test("where the leader's sequences stand comes to a follower with its log", async () => {
  const schema = 'CREATE SEQUENCE tickets; CREATE TABLE notes (id int PRIMARY KEY)';
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema, leader.log);
  await leader.client.query(`SELECT setval('tickets', 4242); INSERT INTO notes VALUES (1)`);
  await beat(leader.connect, Date.now());
  // Soon after the last: it tells the moment alone.
  await leader.client.query(`SELECT setval('tickets', 4300)`);
  await beat(leader.connect, Date.now());
  await leader.capture('polled');
  await follower.apply();
  const told = 'SELECT told FROM understudy.sequences';
  expect((await follower.client.query(told)).rows).toEqual([{ told: { 'public.tickets': '4242' } }]);
  await prepareLeader(follower.client, 'understudy', `slot_of_follower`);
  await advanceSequences(follower.connect, E2);
  expect((await follower.client.query(`SELECT nextval('tickets')::int AS n`)).rows).toEqual([{ n: 14_243 }]);
});
