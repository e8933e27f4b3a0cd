import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { OWN_TRIGGERS } from '#lib/engines/postgres/lease-guard-sql.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

type Table = { readonly schema: string; readonly name: string };

/**
 * For a session whose role may not switch off what tables do by themselves: drops the foreign keys of tables, and those that
 * refer to them, in the open transaction. What is returned makes them anew, and with that checks every row. Throws
 * POSTGRES_REFUSED where the tables are not the role's own, or have triggers of a user's.
 */
export async function liftForeignKeys(
  client: pg.Client,
  tables: readonly Table[],
): Promise<() => Promise<void>> {
  const names = tables.map(({ schema, name }) => `${quote(schema)}.${quote(name)}`);
  const triggers = await client.query<{ sql: string; name: string }>(
    `SELECT tgrelid::regclass::text AS sql, tgname AS name FROM pg_trigger
      WHERE tgrelid IN (SELECT to_regclass(n) FROM unnest($1::text[]) n) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
        AND tgname NOT IN ${OWN_TRIGGERS}`,
    [names],
  );
  const [trigger] = triggers.rows;
  if (trigger !== undefined) throw inTheWay(`trigger ${trigger.name} of ${trigger.sql}`);
  const { rows: keys } = await client.query<{ sql: string; name: string; definition: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS sql, f.conname AS name, pg_get_constraintdef(f.oid) AS definition
       FROM pg_constraint f JOIN pg_class c ON c.oid = f.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
            (SELECT array_agg(to_regclass(t)::oid) AS oids FROM unnest($1::text[]) t) own
      WHERE f.contype = 'f' AND f.conparentid = 0 AND (f.conrelid = ANY (oids) OR f.confrelid = ANY (oids))`,
    [names],
  );
  for (const { sql, name } of keys) {
    try {
      await client.query(`ALTER TABLE ${sql} DROP CONSTRAINT ${quote(name)}`);
    } catch (error) {
      throw sqlState(error) === '42501' ? inTheWay(`foreign key ${name} of ${sql}`, error) : error;
    }
  }
  return async () => {
    for (const { sql, name, definition } of keys) {
      await client.query(`ALTER TABLE ${sql} ADD CONSTRAINT ${quote(name)} ${definition}`);
    }
  };
}

function inTheWay(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_REFUSED',
    `${what} stands in the way, and the role may not switch it off`,
    'As an administrator: GRANT SET ON PARAMETER session_replication_role TO the role; or make the role the owner of the table, and disable its triggers.',
    { cause },
  );
}
