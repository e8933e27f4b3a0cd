import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresDigest } from '#lib/engines/postgres/postgres-digest.ts';
import { verify } from '#lib/usecases/verify.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});

afterAll(async () => {
  await postgres?.[Symbol.asyncDispose]();
});

const SCHEMA = `
  CREATE TABLE t (a int, v text, b text, PRIMARY KEY (a, b)); CREATE TABLE n (x int, y text);
  CREATE TABLE p (id int PRIMARY KEY) PARTITION BY HASH (id);
  CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 1, REMAINDER 0);
  INSERT INTO t SELECT n, 'v' || n, 'k' FROM generate_series(1, 500) n;
  INSERT INTO n SELECT 1, 'same' FROM generate_series(1, 3); INSERT INTO p SELECT generate_series(1, 50)`;
// The same tables with columns in another order, rows in another order, no partitions.
const OTHER = `
  CREATE TABLE t (b text, a int, v text, PRIMARY KEY (a, b)); CREATE TABLE n (y text, x int);
  CREATE TABLE p (id int PRIMARY KEY);
  INSERT INTO t SELECT 'k', n, 'v' || n FROM generate_series(500, 1, -1) n;
  INSERT INTO n SELECT 'same', 1 FROM generate_series(1, 3); INSERT INTO p SELECT generate_series(1, 50)`;

async function databases() {
  const urls = [await postgres.createDatabase(), await postgres.createDatabase()] as const;
  const clients = [await postgres.connect(urls[0]), await postgres.connect(urls[1])] as const;
  await clients[0].query(SCHEMA);
  await clients[1].query(OTHER);
  const [left, right] = urls.map((connectionString) => new PostgresDigest(connector({ connectionString })));
  const small = (rest: (busyMs: number) => Promise<unknown>) =>
    new PostgresDigest(connector({ connectionString: urls[0] }), { pages: 1, rest });
  const compare = (pause: () => Promise<void> = async () => {}) =>
    verify(left!, right!, { rechecks: 2, pause });
  return { own: clients[0], other: clients[1], compare, small, left: left! };
}

describe('digests of two databases', () => {
  test('are equal where all rows are, whatever the order of rows and columns', async () => {
    const { compare } = await databases();
    expect(await compare()).toMatchObject({ equal: true, rows: 553, differing: 0 });
  });

  test('name every row that is missing, extra or other, with and without a key', async () => {
    const { other, compare } = await databases();
    await other.query(
      `UPDATE t SET v = NULL WHERE a = 7; DELETE FROM t WHERE a = 8; INSERT INTO p VALUES (51)`,
    );
    await other.query(`DELETE FROM n WHERE ctid IN ('(0,1)', '(0,2)')`);
    const { equal, differences } = await compare();
    expect(equal).toBe(false);
    expect(differences).toEqual([
      { key: 'public.n {1,same}', kind: 'differs' },
      { key: 'public.p {51}', kind: 'extra' },
      { key: 'public.t {7,k}', kind: 'differs' },
      { key: 'public.t {8,k}', kind: 'missing' },
    ]);
  });

  test('do not count what is on its way and comes while they look again', async () => {
    const { other, compare } = await databases();
    await other.query('DELETE FROM t WHERE a = 9');
    const arrives = async () => {
      await other.query(`INSERT INTO t VALUES ('k', 9, 'v9') ON CONFLICT DO NOTHING`);
    };
    expect(await compare(arrives)).toMatchObject({ equal: true, differingBuckets: 1 });
  });

  test('are the same read page by page, with a rest after each that is as long as the work', async () => {
    const { left, own, small } = await databases();
    // Rows that are equal, on several pages.
    await own.query(`INSERT INTO n SELECT 2, 'many' FROM generate_series(1, 700)`);
    const rests: number[] = [];
    const pieces = small(async (busyMs) => rests.push(busyMs));
    expect(await pieces.buckets()).toEqual(await left.buckets());
    expect(rests.length).toBeGreaterThan(4);
    expect(rests.every((ms) => ms > 0)).toBe(true);
    const all = new Set(Array.from({ length: 256 }, (_, bucket) => bucket));
    const rows = await left.rows(all);
    expect(rows.size).toBe(552);
    expect(await pieces.rows(all)).toEqual(rows);
    // By key, one by one.
    expect(await pieces.recheck([...rows.keys(), 'public.t {7000,k}'])).toEqual(
      new Map([...rows, ['public.t {7000,k}', undefined]]),
    );
  });
});
