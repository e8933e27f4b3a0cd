import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UnderstudyError } from '#lib/domain/errors.ts';
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

const SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'ok');
  CREATE TABLE t (id int PRIMARY KEY, v varchar(5), n numeric(6,2), at timestamp, m mood, last text);`;
const ROWS = `INSERT INTO t SELECT n, 'v' || n, n / 7.0, '2026-11-26', 'ok', 'z' FROM generate_series(1, 5) n`;

/** Statements between "Run here" and the notes after them. */
function statementsOf({ next }: UnderstudyError): readonly string[] {
  return [...next.matchAll(/(?:ALTER|CREATE|DROP) (?:TABLE|TYPE) [^;]+;/g)].map(([statement]) => statement);
}

async function pair(schema = SCHEMA, rows = ROWS) {
  const leader = await PostgresLeader.start(postgres, schema);
  const follower = await PostgresFollower.start(postgres, schema, leader.log);
  await leader.client.query(rows);
  await leader.capture();
  await follower.apply();
  return { leader, follower };
}

/** Applies, and each time that a table differs runs what the error says; what it said, in order. */
async function applyWithFixes(follower: PostgresFollower): Promise<readonly string[]> {
  const told: string[] = [];
  for (;;) {
    try {
      await follower.apply();
      return told;
    } catch (error) {
      expect(error).toBeInstanceOf(UnderstudyError);
      expect((error as UnderstudyError).code).toBe('SCHEMA_DIFFERS');
      const statements = statementsOf(error as UnderstudyError);
      expect(statements.length, String(error)).toBeGreaterThan(0);
      expect(told.length, 'says the same again and again').toBeLessThan(8);
      told.push(...statements);
      for (const statement of statements) await follower.client.query(statement);
    }
  }
}

/** What happens at the leader, and the statements that a follower is told to run. */
type Case = readonly [name: string, sql: readonly string[], statements: readonly string[]];

const T = 'ALTER TABLE "public"."t"';
const CASES: readonly Case[] = [
  [
    'adds a column',
    ['ALTER TABLE t ADD c varchar(7)', 'UPDATE t SET c = id'],
    [`${T} ADD COLUMN "c" character varying(7);`],
  ],
  [
    'adds a column with a default, to rows that are there',
    [
      `ALTER TABLE t ADD c int NOT NULL DEFAULT 5`,
      'ALTER TABLE t ALTER c SET DEFAULT 6',
      'INSERT INTO t (id) VALUES (9)',
    ],
    [`${T} ADD COLUMN "c" integer DEFAULT '5' NOT NULL;`, `${T} ALTER COLUMN "c" SET DEFAULT 6;`],
  ],
  ['drops a column', ['ALTER TABLE t DROP n', 'INSERT INTO t VALUES (9)'], [`${T} DROP COLUMN "n";`]],
  [
    'renames a column',
    ['ALTER TABLE t RENAME v TO w', `INSERT INTO t VALUES (9, 'x')`],
    [`${T} RENAME COLUMN "v" TO "w";`],
  ],
  [
    'renames its last column',
    ['ALTER TABLE t RENAME last TO "the end"', `INSERT INTO t VALUES (9)`],
    [`${T} RENAME COLUMN "last" TO "the end";`],
  ],
  [
    'drops a column and adds another of that type',
    ['ALTER TABLE t DROP v, ADD w varchar(5)', `UPDATE t SET w = 'x' WHERE id = 1`],
    [`${T} ADD COLUMN "w" character varying(5);`, `${T} DROP COLUMN "v";`],
  ],
  [
    'makes a type larger',
    ['ALTER TABLE t ALTER v TYPE varchar(50)', `UPDATE t SET v = repeat('x', 40) WHERE id = 1`],
    [`${T} ALTER COLUMN "v" TYPE character varying(50) USING "v"::character varying(50);`],
  ],
  [
    'makes numbers more exact',
    ['ALTER TABLE t ALTER n TYPE numeric(12,6)', `UPDATE t SET n = 1.234567 WHERE id = 1`],
    [`${T} ALTER COLUMN "n" TYPE numeric(12,6) USING "n"::numeric(12,6);`],
  ],
  [
    'makes a key another type',
    ['ALTER TABLE t ALTER id TYPE bigint', 'INSERT INTO t VALUES (9000000000)'],
    [`${T} ALTER COLUMN "id" TYPE bigint USING "id"::bigint;`],
  ],
  [
    'creates a table of a new type',
    [
      `CREATE TYPE hue AS ENUM ('red', 'it''s')`,
      'CREATE TABLE fresh (id int PRIMARY KEY, h hue)',
      `INSERT INTO fresh VALUES (1, 'it''s')`,
    ],
    [
      `CREATE TYPE "public"."hue" AS ENUM ('red', 'it''s');`,
      'CREATE TABLE "public"."fresh" ("id" integer, "h" hue, PRIMARY KEY ("id"));',
    ],
  ],
  [
    'adds a label to a type',
    [`ALTER TYPE mood ADD VALUE 'glad'`, `INSERT INTO t (id, m) VALUES (9, 'glad')`],
    [`ALTER TYPE mood ADD VALUE 'glad';`],
  ],
  [
    'renames a table',
    ['ALTER TABLE t RENAME TO "T2"', 'INSERT INTO "T2" (id) VALUES (9)'],
    ['ALTER TABLE public."t" RENAME TO "T2";'],
  ],
  [
    'drops a table and creates another of that name',
    ['DROP TABLE t', 'CREATE TABLE t (id int PRIMARY KEY, v varchar(5))', `INSERT INTO t VALUES (1, 'new')`],
    [
      'DROP TABLE "public"."t";',
      'CREATE TABLE "public"."t" ("id" integer, "v" character varying(5), PRIMARY KEY ("id"));',
    ],
  ],
  [
    'puts another table in the place of one',
    [
      'ALTER TABLE t RENAME TO old',
      'CREATE TABLE t (id int PRIMARY KEY)',
      `INSERT INTO t VALUES (1)`,
      'DELETE FROM old WHERE id = 1',
    ],
    [
      'ALTER TABLE "public"."t" RENAME TO old;',
      'CREATE TABLE "public"."t" ("id" integer, PRIMARY KEY ("id"));',
    ],
  ],
];

describe('a leader', () => {
  test.each(CASES)(
    '%s: the follower stops, says the very statement, and goes on by itself',
    async (_, sql, statements) => {
      const { leader, follower } = await pair();
      follower.reach(leader.connect);
      for (const each of sql) await leader.client.query(each);
      await leader.capture();
      expect(await applyWithFixes(follower)).toEqual(statements);
      expect(await contents(follower.client)).toEqual(await contents(leader.client));
    },
  );

  test('that cannot be reached is not needed: what its log does not tell is said to be open', async () => {
    const { leader, follower } = await pair();
    await leader.client.query('ALTER TABLE t RENAME last TO final');
    await leader.client.query('INSERT INTO t (id) VALUES (9)');
    await leader.capture();
    const error = (await follower.apply().catch((failure) => failure)) as UnderstudyError;
    expect(error.next).toContain(`${T} ADD COLUMN "final" text; ${T} DROP COLUMN "last";`);
    expect(error.next).toContain('If "last" was renamed, instead, which keeps its values: ');
    await follower.client.query('ALTER TABLE t RENAME last TO final');
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('adds and drops columns in the middle of a transaction, of a follower that is told so', async () => {
    const { leader, follower } = await pair();
    follower.reach(leader.connect);
    await leader.client.query(`BEGIN; INSERT INTO t (id) VALUES (6); ALTER TABLE t ADD c int NOT NULL DEFAULT 1, DROP n;
      INSERT INTO t (id) VALUES (7); COMMIT`);
    await leader.capture();
    expect(await applyWithFixes(follower)).toEqual([`${T} ADD COLUMN "c" integer DEFAULT '1' NOT NULL;`]);
    await leader.client.query('DELETE FROM t WHERE id = 1');
    await leader.capture();
    expect(await applyWithFixes(follower)).toEqual([`${T} DROP COLUMN "n";`]);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('drops a column right after a transaction of several runs: what comes then is not applied before it is told', async () => {
    const { leader, follower } = await pair();
    await leader.client.query(
      `INSERT INTO t (id, last) SELECT n, repeat('x', 2000) FROM generate_series(10, 6000) n`,
    );
    await leader.client.query('ALTER TABLE t DROP n; INSERT INTO t (id) VALUES (9)');
    await leader.capture();
    const said = (await follower.apply().catch((failure) => failure)) as UnderstudyError;
    expect(statementsOf(said)).toEqual([`${T} DROP COLUMN "n";`]);
    // The last run has begun inside of the long transaction, and that has ended in it.
    const { rows } = await follower.client.query(
      'SELECT max(id), count(*) FILTER (WHERE id = 9) AS after FROM t',
    );
    expect(rows).toEqual([{ max: 6000, after: '0' }]);
    expect(await applyWithFixes(follower)).toEqual([`${T} DROP COLUMN "n";`]);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('renames a column in a transaction that began with another table: it is told once, though its segment has the old name', async () => {
    const { leader, follower } = await pair(`${SCHEMA} CREATE TABLE u (id int PRIMARY KEY);`);
    follower.reach(leader.connect);
    await leader.client.query('INSERT INTO t (id) VALUES (6)');
    await leader.client.query(
      'BEGIN; INSERT INTO u VALUES (1); ALTER TABLE t RENAME v TO w; INSERT INTO t (id) VALUES (7); COMMIT',
    );
    await leader.capture();
    expect(await applyWithFixes(follower)).toEqual([`${T} RENAME COLUMN "v" TO "w";`]);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('renames a column after a transaction that began with its old name and goes on where the new one is used', async () => {
    const { leader, follower } = await pair(`${SCHEMA} CREATE TABLE u (id int PRIMARY KEY);`);
    follower.reach(leader.connect);
    await leader.client.query(
      'BEGIN; INSERT INTO t (id) VALUES (6); INSERT INTO u VALUES (1); ALTER TABLE u ADD x int; INSERT INTO u VALUES (2); COMMIT',
    );
    await leader.client.query('ALTER TABLE t RENAME v TO w; INSERT INTO t (id) VALUES (7)');
    await leader.capture();
    const told = await applyWithFixes(follower);
    expect(told).toContain(`${T} RENAME COLUMN "v" TO "w";`);
    expect(told).toHaveLength(2);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('renames a table right after it has written to it: it is told once', async () => {
    const { leader, follower } = await pair();
    await leader.client.query('INSERT INTO t (id) VALUES (6)');
    await leader.client.query('ALTER TABLE t RENAME TO u; INSERT INTO u (id) VALUES (7)');
    await leader.capture();
    expect(await applyWithFixes(follower)).toEqual(['ALTER TABLE public."t" RENAME TO "u";']);
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });

  test('may be ahead of by columns and types that hold whatever comes', async () => {
    const { leader, follower } = await pair();
    await follower.client.query(
      'ALTER TABLE t ADD c int, ADD d int NOT NULL DEFAULT 1, ALTER v TYPE text, ALTER n TYPE numeric',
    );
    await leader.client.query('DELETE FROM t WHERE id > 2');
    await leader.capture();
    await follower.apply();
    expect((await contents(follower.client))['public.t']).toHaveLength(2);
  });

  test('is told by each restart of a follower anew, until the column is gone here too', async () => {
    const { leader, follower } = await pair();
    await leader.client.query('ALTER TABLE t DROP n; INSERT INTO t VALUES (9)');
    await leader.capture();
    for (let tries = 0; tries < 3; tries += 1) {
      await follower.restart();
      await expect(follower.apply()).rejects.toMatchObject({ code: 'SCHEMA_DIFFERS' });
    }
    await follower.client.query('ALTER TABLE t DROP n');
    await follower.apply();
    expect(await contents(follower.client)).toEqual(await contents(leader.client));
  });
});

test('a follower that has said what to run does not go back, by a crash, to before it', async () => {
  // Its log writer is slow: a commit that nobody waits for is not on disk by itself.
  const server = await startTestPostgres({ wal_writer_delay: '10s' });
  try {
    const leader = await PostgresLeader.start(postgres, SCHEMA);
    const follower = await PostgresFollower.start(server, SCHEMA, leader.log);
    await leader.client.query(ROWS);
    await leader.capture();
    await follower.apply();
    await leader.client.query('ALTER TABLE t ADD c int; INSERT INTO t (id) VALUES (8)');
    await leader.capture();
    await follower.client.query('ALTER TABLE t ADD c int');
    await follower.apply();
    await leader.client.query('ALTER TABLE t RENAME v TO w; INSERT INTO t (id) VALUES (9)');
    await leader.capture();
    const said = (await follower.apply().catch((failure) => failure)) as UnderstudyError;
    expect(statementsOf(said)).toEqual([`${T} RENAME COLUMN "v" TO "w";`]);
    await server.crash();
    const client = await server.connect(follower.url);
    for (const statement of statementsOf(said)) await client.query(statement);
    await follower.restart();
    await follower.apply();
    expect(await contents(client)).toEqual(await contents(leader.client));
  } finally {
    await server[Symbol.asyncDispose]();
  }
});
