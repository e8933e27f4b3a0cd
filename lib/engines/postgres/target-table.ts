import type pg from 'pg';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { OWN_TRIGGERS } from '#lib/engines/postgres/lease-guard-sql.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { checkSchema, columnsOf, NO_PAST, type Past } from '#lib/engines/postgres/schema-difference.ts';

export type TargetColumn = {
  readonly name: string;
  /** OIDs in this database; `array` is 0 where there is no array of the type. */
  readonly type: number;
  readonly array: number;
  readonly isArray: boolean;
  /** The type as SQL. */
  readonly sqlType: string;
};

/** A table of the follower, as the changes of one description of the leader's table are written to it. */
export type TargetTable = {
  readonly name: string;
  /** OID in this database. */
  readonly local: number;
  /** As SQL. */
  readonly sql: string;
  /** One for each column of the description, in its order. */
  readonly columns: readonly TargetColumn[];
  /** Columns that name a row, as indexes into `columns`; none if rows are told apart by all that they hold. */
  readonly key: readonly number[];
  /** Triggers of a user's that fire for the session that asked. */
  readonly triggers: readonly string[];
  /** In the session that asked, rows go, or get another key, by themselves along with those that they refer to. */
  readonly cascades: { readonly deletes: boolean; readonly updates: boolean };
};

/** The OID of a table, by its name; null if there is none. */
export const LOCAL = 'SELECT to_regclass($1)::oid::bigint AS local';

const TRIGGERS = `
  SELECT tgname AS name FROM pg_trigger
   WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND tgname NOT IN ${OWN_TRIGGERS}
     AND tgenabled IN ('A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END) ORDER BY 1`;

const CASCADES = `
  SELECT coalesce(bool_or(confdeltype = 'c'), false) AS deletes, coalesce(bool_or(confupdtype = 'c'), false) AS updates
    FROM pg_constraint WHERE conrelid = to_regclass($1) AND contype = 'f'
     AND current_setting('session_replication_role') <> 'replica'`;

/**
 * Finds the follower's table for a leader's. Throws SCHEMA_DIFFERS, with the statements that make them equal, if it is
 * not there or another one, or if a column is missing, of another type, gone at the leader, or one too many.
 */
export async function targetTable(
  client: pg.Client,
  table: DescribedTable,
  past: Past = NO_PAST,
): Promise<TargetTable> {
  const { schema, name, columns, identity } = table.relation;
  const sql = `${quote(schema)}.${quote(name)}`;
  const found = await client.query<{ local: string | null }>(LOCAL, [sql]);
  const local = found.rows[0]!.local === null ? undefined : Number(found.rows[0]!.local);
  const rows = await columnsOf(client, sql);
  await checkSchema(client, { table, sql, local, rows, past });
  const byName = new Map(rows.map((row) => [row.name, row]));
  const key = columns.flatMap((column, index) => {
    const isKey = identity === 'full' ? byName.get(column.name)!.in_primary : column.key;
    return isKey ? [index] : [];
  });
  const triggers = await client.query<{ name: string }>(TRIGGERS, [sql]);
  const cascades = await client.query<TargetTable['cascades']>(CASCADES, [sql]);
  return {
    name: table.name,
    local: local!,
    sql,
    columns: columns.map((column) => {
      const row = byName.get(column.name)!;
      return {
        name: column.name,
        type: Number(row.type),
        array: Number(row.array),
        isArray: row.category === 'A',
        sqlType: row.sql_type,
      };
    }),
    key,
    triggers: triggers.rows.map((row) => row.name),
    cascades: cascades.rows[0]!,
  };
}
