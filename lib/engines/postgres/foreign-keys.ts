import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { OWN_TRIGGERS } from '#lib/engines/postgres/lease-guard-sql.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

type Table = { readonly schema: string; readonly name: string };
type ForeignKey = { readonly sql: string; readonly name: string; readonly definition: string };

/** Foreign keys that are not there while tables are copied, until they are made anew. */
export const LIFTED_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.lifted_key (
    sql text, name text, definition text NOT NULL, PRIMARY KEY (sql, name))`;

/**
 * For a session whose role may not switch off what tables do by themselves: drops the foreign keys of tables, and those that
 * refer to them, in the open transaction. What is returned makes them anew, and with that checks every row. Throws
 * POSTGRES_REFUSED where the tables are not the role's own, or have triggers of a user's.
 */
export async function liftForeignKeys(
  client: pg.Client,
  tables: readonly Table[],
): Promise<() => Promise<void>> {
  const keys = await dropForeignKeys(client, tables);
  return () => addForeignKeys(client, keys);
}

/**
 * Does so in the open transaction for as long as tables are copied one by one, each at a position of its own: in that time no
 * order of them, and no constraint that is deferred, would do. Throws POSTGRES_REFUSED.
 */
export async function liftUntilCopied(client: pg.Client, tables: readonly Table[]): Promise<void> {
  const keys = await dropForeignKeys(client, tables);
  if (keys.length === 0) return;
  // A database may have been prepared by a release before.
  if (!(await hasLifted(client))) await client.query(LIFTED_SCHEMA);
  await client.query(
    `INSERT INTO understudy.lifted_key SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
       ON CONFLICT (sql, name) DO UPDATE SET definition = EXCLUDED.definition`,
    [keys.map(({ sql }) => sql), keys.map(({ name }) => name), keys.map(({ definition }) => definition)],
  );
}

/** Makes the foreign keys anew that a copy has lifted, in the open transaction; false if there are none. */
export async function restoreLifted(client: pg.Client): Promise<boolean> {
  if (!(await hasLifted(client))) return false;
  const { rows } = await client.query<ForeignKey & { due: boolean }>(`
    DELETE FROM understudy.lifted_key k RETURNING sql, name, definition, to_regclass(sql) IS NOT NULL AND NOT EXISTS (
      SELECT FROM pg_constraint c WHERE c.conrelid = to_regclass(k.sql) AND c.conname = k.name) AS due`);
  if (rows.length === 0) return false;
  // A table that has checks to come can't be altered.
  await client.query('SET CONSTRAINTS ALL IMMEDIATE');
  await addForeignKeys(
    client,
    rows.filter(({ due }) => due),
  );
  return true;
}

async function hasLifted(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query(`SELECT to_regclass('understudy.lifted_key') IS NOT NULL AS known`);
  return rows[0].known;
}

async function addForeignKeys(client: pg.Client, keys: readonly ForeignKey[]): Promise<void> {
  for (const { sql, name, definition } of keys) {
    await client.query(`ALTER TABLE ${sql} ADD CONSTRAINT ${quote(name)} ${definition}`);
  }
}

async function dropForeignKeys(client: pg.Client, tables: readonly Table[]): Promise<readonly ForeignKey[]> {
  const names = tables.map(({ schema, name }) => `${quote(schema)}.${quote(name)}`);
  const triggers = await client.query<{ sql: string; name: string }>(
    `SELECT tgrelid::regclass::text AS sql, tgname AS name FROM pg_trigger
      WHERE tgrelid IN (SELECT to_regclass(n) FROM unnest($1::text[]) n) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        AND tgname NOT IN ${OWN_TRIGGERS}`,
    [names],
  );
  const [trigger] = triggers.rows;
  if (trigger !== undefined) throw inTheWay(`trigger ${trigger.name} of ${trigger.sql}`);
  const { rows: keys } = await client.query<ForeignKey & { refers: boolean }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS sql, f.conname AS name, pg_get_constraintdef(f.oid) AS definition,
            has_table_privilege(f.confrelid, 'REFERENCES') AS refers
       FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
            (SELECT array_agg(to_regclass(t)::oid) AS oids FROM unnest($1::text[]) t) own
      WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = ANY (oids) OR f.confrelid = ANY (oids))`,
    [names],
  );
  for (const { sql, name, refers } of keys) {
    if (!refers) throw inTheWay(`foreign key ${name} of ${sql}`);
    try {
      await client.query(`ALTER TABLE ${sql} DROP CONSTRAINT ${quote(name)}`);
    } catch (error) {
      throw sqlState(error) === '42501' ? inTheWay(`foreign key ${name} of ${sql}`, error) : error;
    }
  }
  return keys;
}

function inTheWay(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_REFUSED',
    `${what} stands in the way, and the role may not switch it off`,
    'As an administrator: GRANT SET ON PARAMETER session_replication_role TO the role; or make the role the owner of the table, and disable its triggers.',
    { cause },
  );
}
