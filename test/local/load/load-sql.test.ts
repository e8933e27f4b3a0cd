import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { emptyTables, loadSql, planSql, refuseKeyless } from '#lib/local/load/load-sql.ts';
import { readSqlFile } from '#lib/local/load/read-sql-file.ts';
import { startTestPostgres, type TestPostgres } from '../../support/postgres.ts';
import { loadFolder } from './load-folder.ts';

const folder = loadFolder();
const DUMP = fileURLToPath(new URL('shop.sql', import.meta.url));

async function statementsOf(text: string): Promise<readonly (readonly [number, string])[]> {
  const found: (readonly [number, string])[] = [];
  for await (const { line, sql } of readSqlFile(await folder.file(text))) found.push([line, sql]);
  return found;
}

describe('the statements of a file of SQL', () => {
  test.each([
    ['SELECT 1; SELECT 2;', ['SELECT 1;', 'SELECT 2;']],
    ["SELECT ';', 'it''s;', \"a;b\"\"c\";", ["SELECT ';', 'it''s;', \"a;b\"\"c\";"]],
    ["SELECT E'\\';', e'a''\\';' ;SELECT 2", ["SELECT E'\\';', e'a''\\';' ;", 'SELECT 2']],
    ["SELECT 'a\\'; SELECT 2;", ["SELECT 'a\\';", 'SELECT 2;']],
    ["SELECT 1 -- ; not ' here\n;SELECT 2;", ["SELECT 1 -- ; not ' here\n;", 'SELECT 2;']],
    ["SELECT /* ; /* ; */ ' ; */ 1;", ["SELECT /* ; /* ; */ ' ; */ 1;"]],
    [
      'DO $$ BEGIN; END $$; SELECT $a$ $$ ; $b$ $a$, a$b$c;',
      ['DO $$ BEGIN; END $$;', 'SELECT $a$ $$ ; $b$ $a$, a$b$c;'],
    ],
    [
      'CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);',
      ['CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);'],
    ],
    [
      'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END; BEGIN; COMMIT;',
      [
        'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;',
        'BEGIN;',
        'COMMIT;',
      ],
    ],
    ['SELECT e, constructor FROM t WHERE e = 1;', ['SELECT e, constructor FROM t WHERE e = 1;']],
  ])('%s', async (text, statements) => {
    expect((await statementsOf(text)).map(([, sql]) => sql)).toEqual(statements);
  });

  test('know on which line they begin, whatever comes before', async () => {
    const text =
      '-- a comment\n\n/* more\n */ SELECT 1;\r\n\r\n\\restrict key\nSELECT\n  2;\n\\unrestrict key\n';
    expect(await statementsOf(text)).toEqual([
      [4, '/* more\n */ SELECT 1;'],
      [7, 'SELECT\n  2;'],
    ]);
  });

  test.each([
    [
      'SELECT 1;\n\\connect shop\n',
      'LOAD_LINE_MALFORMED',
      /line 2: \\connect is a command of psql.*--create/,
    ],
    ['SELECT 1 \\gset\n', 'LOAD_LINE_MALFORMED', /line 1: \\gset is a command of psql/],
    [
      'SELECT 1;\nCOPY t FROM stdin WITH (FORMAT csv);\n1\n\\.\n',
      'LOAD_LINE_MALFORMED',
      /line 2: COPY has options.*--inserts/,
    ],
    ['COPY t FROM stdin;\n1\n2\n', 'LOAD_LINE_MALFORMED', /line 2: the rows of a COPY do not end/],
    [
      "SELECT 1;\n\nSELECT 'a;\n\n",
      'LOAD_LINE_MALFORMED',
      /line 3: a statement begins whose string or comment does not end/,
    ],
    ["SET client_encoding = 'LATIN1';", 'LOAD_LINE_MALFORMED', /line 1: the file is not in UTF-8/],
    ['-- nothing\n', 'LOAD_FILE_UNREADABLE', /holds no statement/],
  ])('%j is refused before anything is started', async (text, code, message) => {
    const refusal = planSql(await folder.file(text));
    await expect(refusal).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('and the rows of COPY are counted, also of a compressed dump', async () => {
    const plan = await planSql(DUMP);
    expect(plan.rows).toBe(5);
    expect(await planSql(await folder.file(gzipSync(readFileSync(DUMP))))).toEqual(plan);
  });
});

describe('a database that a file is run in', () => {
  let postgres: TestPostgres;
  let client: pg.Client;
  beforeAll(async () => {
    postgres = await startTestPostgres();
  });
  afterAll(() => postgres?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    client = await postgres.connect(await postgres.createDatabase());
  });
  const load = async (text: string) => loadSql(client, await folder.file(text));

  test('holds what was dumped', async () => {
    await loadSql(client, DUMP);
    await refuseKeyless(client);
    const { rows } = await client.query('SELECT id, name, tags, price, body FROM shop.item ORDER BY id');
    expect(rows).toEqual([
      { id: 1, name: 'tab\there', tags: ['a', 'b c'], price: '1.50', body: { a: 1 } },
      { id: 2, name: 'back\\slash\nand line', tags: [], price: null, body: null },
      { id: 3, name: "it's; $$ü$$", tags: null, price: '99999999999999.99', body: {} },
    ]);
    expect((await client.query('SELECT shop.total()')).rows).toEqual([{ total: '100000000000001.49' }]);
    expect((await client.query(`SELECT nextval('shop.item_id_seq')`)).rows).toEqual([{ nextval: '4' }]);
  });

  test('takes blocks of any length, in several pieces', async () => {
    const wide = 'x'.repeat(1_000);
    const rows = Array.from({ length: 5_000 }, (_, n) => `${n}\t${wide}\n`).join('');
    await load(
      `CREATE TABLE t (id int PRIMARY KEY, v text);\nCOPY t (id, v) FROM stdin;\n${rows}\\.\nSELECT 1;`,
    );
    const found = await client.query('SELECT count(*)::int AS n, sum(length(v))::int AS bytes FROM t');
    expect(found.rows).toEqual([{ n: 5_000, bytes: 5_000_000 }]);
  });

  test.each([
    [
      'CREATE TABLE t (id int);\n\nINSERT INTO t\nVALUES (1, 2);',
      /line 4: INSERT has more expressions .*\(42601\), in: INSERT INTO t/,
    ],
    [
      'CREATE TABLE t (id int PRIMARY KEY);\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (1);',
      /line 3: duplicate key .*\(23505\), in: INSERT INTO t VALUES \(1\)/,
    ],
    [
      'CREATE TABLE t (id int);\nCOPY t FROM stdin;\n1\nno\n3\n\\.\n',
      /line 4: invalid input syntax .*\(22P02\), in: COPY t FROM stdin/,
    ],
    [
      'CREATE TABLE t (id int);\nALTER TABLE t OWNER TO nobody_here;',
      /line 2: role .* does not exist .*--no-owner/,
    ],
    ['CREATE EXTENSION no_such_thing;', /line 1: .*Leave the extension out/],
    ['CREATE TABLE t (id int);\nCREATE TABLE t (id int);', /line 2: .*for an empty database/],
  ])('names file, line and statement of what it refuses: %j', async (text, message) => {
    await expect(load(text)).rejects.toMatchObject({
      code: 'LOAD_STATEMENT_FAILED',
      message: expect.stringMatching(message),
    });
  });

  test('is not taken for loaded where the file never commits', async () => {
    const refusal = load('BEGIN; CREATE TABLE t (id int PRIMARY KEY);');
    await expect(refusal).rejects.toMatchObject({
      code: 'LOAD_LINE_MALFORMED',
      message: expect.stringContaining('COMMIT'),
    });
  });

  test('is refused with a table that has no key, and what mends it is said', async () => {
    await load('CREATE TABLE log (line text); INSERT INTO log VALUES (1);');
    await expect(refuseKeyless(client)).rejects.toMatchObject({
      code: 'LOAD_KEY_MISSING',
      message: expect.stringMatching(/public\.log .*ADD PRIMARY KEY .*REPLICA IDENTITY FULL/),
    });
    await client.query('ALTER TABLE log REPLICA IDENTITY FULL');
    await refuseKeyless(client);
  });

  test('keeps its tables, keys and functions when its rows are copied from elsewhere', async () => {
    await loadSql(client, DUMP);
    await emptyTables(client);
    expect(
      (await client.query('SELECT (SELECT count(*) FROM shop.item) + (SELECT count(*) FROM shop.sale) AS n'))
        .rows,
    ).toEqual([{ n: '0' }]);
  });
});
