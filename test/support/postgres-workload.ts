import type pg from 'pg';

/** Tables of every kind that there is a way of its own for. */
export const WORKLOAD_SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'glad');
  CREATE TABLE plain (id int PRIMARY KEY, v text, n numeric, m mood, a int[], at timestamptz);
  CREATE TABLE pair (a int, b text, v text, w text, PRIMARY KEY (b, a));
  ALTER TABLE pair ALTER v SET STORAGE EXTERNAL;
  CREATE TABLE uniq (id int PRIMARY KEY, code int UNIQUE, rank int UNIQUE DEFERRABLE, v text);
  CREATE TABLE whole (a int, b text, j jsonb); ALTER TABLE whole REPLICA IDENTITY FULL;
  CREATE TABLE keyed_whole (id int PRIMARY KEY, v text); ALTER TABLE keyed_whole REPLICA IDENTITY FULL;
  ALTER TABLE keyed_whole ALTER v SET STORAGE EXTERNAL;
  CREATE TABLE part (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
  CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (MINVALUE) TO (20);
  CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (20) TO (MAXVALUE);
  CREATE TABLE made (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int, y int GENERATED ALWAYS AS (x * 2) STORED);
  CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES plain ON DELETE CASCADE ON UPDATE CASCADE);`;

/** From 0 to below 1. */
export type Random = () => number;

const below = (random: Random, end: number) => Math.floor(random() * end);
const pick = <T>(random: Random, from: readonly T[]): T => from[below(random, from.length)]!;

/** A statement that may well fail: on a duplicate, or on a row that others refer to. */
function statement(random: Random): string {
  const id = () => below(random, 40);
  const text = () =>
    pick(random, [`'x'`, 'NULL', `'it''s \\\\ "q"'`, `repeat('${id()}', 3000)`, `'${id()}'`]);
  const some = () => pick(random, ['true', `id = ${id()}`, `id % 3 = ${below(random, 3)}`, `id < ${id()}`]);
  const kinds: readonly (() => string)[] = [
    () =>
      `INSERT INTO plain VALUES (${id()}, ${text()}, ${id()}.${id()}, '${pick(random, ['sad', 'ok'])}', array[${id()}, NULL], now())`,
    () =>
      `INSERT INTO plain SELECT n, 'v' || n FROM generate_series(${id()}, ${40 + id()}) n ON CONFLICT DO NOTHING`,
    () => `UPDATE plain SET v = ${text()}, a = a || ${id()} WHERE ${some()}`,
    () => `UPDATE plain SET n = n / 7, m = 'glad' WHERE ${some()}`,
    () => `UPDATE plain SET id = id + 100 WHERE id = ${id()}`,
    () => `DELETE FROM plain WHERE ${some()}`,
    () =>
      `INSERT INTO pair VALUES (${id()}, '${below(random, 3)}', ${text()}, ${text()}) ON CONFLICT DO NOTHING`,
    () => `UPDATE pair SET w = ${text()} WHERE a < ${id()}`,
    () => `UPDATE pair SET b = b || 'k' WHERE a = ${id()}`,
    () => `UPDATE pair SET a = a + 50, w = NULL WHERE a = ${id()}`,
    () => `DELETE FROM pair WHERE a > ${id()}`,
    () => `INSERT INTO uniq SELECT n, n, n FROM generate_series(1, ${id()}) n ON CONFLICT (id) DO NOTHING`,
    () => `UPDATE uniq SET rank = 1000 - rank`,
    () => `UPDATE uniq SET code = code + 500 WHERE ${some()}`,
    () => `UPDATE uniq SET code = ${id()} WHERE id = ${id()}`,
    () => `DELETE FROM uniq WHERE ${some()}`,
    () =>
      `INSERT INTO whole SELECT n % 3, ${text()}, '{"a": [1, null]}' FROM generate_series(1, ${1 + below(random, 5)}) n`,
    () => `UPDATE whole SET b = ${text()} WHERE a = ${below(random, 3)}`,
    () => `DELETE FROM whole WHERE ctid IN (SELECT ctid FROM whole LIMIT ${below(random, 4)})`,
    () => `INSERT INTO keyed_whole VALUES (${id()}, ${text()})`,
    () => `UPDATE keyed_whole SET id = id + 30 WHERE ${some()}`,
    () => `UPDATE keyed_whole SET v = ${text()} WHERE ${some()}`,
    () => `DELETE FROM keyed_whole WHERE ${some()}`,
    () => `INSERT INTO part VALUES (${id()}, ${text()}) ON CONFLICT DO NOTHING`,
    () => `UPDATE part SET id = 40 - id WHERE id = ${id()}`,
    () => `DELETE FROM part WHERE ${some()}`,
    () => `INSERT INTO made (x) SELECT generate_series(1, ${1 + below(random, 6)})`,
    () => `UPDATE made SET x = x + 1 WHERE ${some()}`,
    () => `DELETE FROM made WHERE id % 4 = ${below(random, 4)}`,
    () => `INSERT INTO child SELECT ${id()}, id FROM plain LIMIT 1 ON CONFLICT DO NOTHING`,
    () =>
      `TRUNCATE ${pick(random, ['pair', 'whole', 'part', 'plain CASCADE', 'made RESTART IDENTITY', 'uniq, keyed_whole'])}`,
  ];
  // Truncation would leave little to be compared if it were as frequent as the rest.
  const index = below(random, random() < 0.1 ? kinds.length : kinds.length - 1);
  return kinds[index]!();
}

/** One transaction with savepoints, failures and rollbacks. */
export async function runTransaction(client: pg.Client, random: Random): Promise<void> {
  await client.query('BEGIN');
  const open: string[] = [];
  for (let left = 1 + below(random, 8); left > 0; left--) {
    const point = `p${left}`;
    await client.query(`SAVEPOINT ${point}`);
    open.push(point);
    try {
      await client.query(statement(random));
    } catch {
      await client.query(`ROLLBACK TO ${point}`);
    }
    if (random() < 0.15) await client.query(`ROLLBACK TO ${pick(random, open)}`).catch(() => {});
    if ((await client.query('SELECT 1').catch(() => undefined)) === undefined) break;
  }
  await client.query(random() < 0.1 ? 'ROLLBACK' : 'COMMIT');
}
