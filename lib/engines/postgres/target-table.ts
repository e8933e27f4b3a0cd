import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { OWN_TRIGGERS } from '#lib/engines/postgres/lease-guard-sql.ts';
import type { RelationColumn } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { userType } from '#lib/engines/postgres/table-key.ts';

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
  /** As SQL. */
  readonly sql: string;
  /** One for each column of the description, in its order. */
  readonly columns: readonly TargetColumn[];
  /** Columns that name a row, as indexes into `columns`; none if rows are told apart by all that they hold. */
  readonly key: readonly number[];
  /** Triggers of a user's that fire even for an applier that may not switch them off. */
  readonly triggers: readonly string[];
};

type CatalogRow = {
  name: string;
  type: string;
  array: string;
  category: string;
  sql_type: string;
  must_be_given: boolean;
  in_primary: boolean;
};

const COLUMNS = `
  SELECT a.attname AS name, a.atttypid::bigint AS type, t.typarray::bigint AS array,
         t.typcategory AS category, format_type(a.atttypid, a.atttypmod) AS sql_type, 
         a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS must_be_given,
         coalesce(a.attnum = ANY (p.conkey), false) AS in_primary
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_constraint p ON p.conrelid = a.attrelid AND p.contype = 'p'
   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;

const TRIGGERS = `
  SELECT tgname AS name FROM pg_trigger
   WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND tgenabled IN ('O', 'A') AND tgname NOT IN ${OWN_TRIGGERS} ORDER BY 1`;

/**
 * Finds the follower's table for a leader's. Throws SCHEMA_DIFFERS, with the statements that make them equal, if it is
 * not there, or lacks a column, or has one too many.
 */
export async function targetTable(client: pg.Client, table: DescribedTable): Promise<TargetTable> {
  const { schema, name, columns, identity } = table.relation;
  const sql = `${quote(schema)}.${quote(name)}`;
  const { rows } = await client.query<CatalogRow>(COLUMNS, [sql]);
  const byName = new Map(rows.map((row) => [row.name, row]));
  const missing = columns.filter((column) => !byName.has(column.name));
  const present = new Set(columns.map((column) => column.name));
  // A column of the follower's own is no harm as long as it takes care of itself: it may be one that the leader is
  // about to get, or had until a moment ago.
  const surplus = rows.filter((row) => !present.has(row.name) && row.must_be_given);
  if (missing.length > 0 || surplus.length > 0) {
    const types = new Map<number, string>();
    for (const column of missing) types.set(column.type, await typeText(client, table, column));
    const text = (column: (typeof missing)[number]) => `${quote(column.name)} ${types.get(column.type)}`;
    const fix =
      rows.length === 0
        ? [`CREATE TABLE ${sql} (${missing.map(text).join(', ')}${primary(table)})`]
        : [
            ...missing.map((column) => `ALTER TABLE ${sql} ADD COLUMN ${text(column)}`),
            ...surplus.map((row) => `ALTER TABLE ${sql} DROP COLUMN ${quote(row.name)}`),
          ];
    throw schemaDiffers(table.name, fix);
  }
  const key = columns.flatMap((column, index) => {
    const isKey = identity === 'full' ? byName.get(column.name)!.in_primary : column.key;
    return isKey ? [index] : [];
  });
  const triggers = await client.query<{ name: string }>(TRIGGERS, [sql]);
  return {
    name: table.name,
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
  };
}

async function typeText(client: pg.Client, table: DescribedTable, column: RelationColumn): Promise<string> {
  const name = userType(table, column);
  if (name !== undefined) return name;
  const { type, modifier } = column;
  const { rows } = await client.query<{ text: string }>('SELECT format_type($1, $2) AS text', [
    type,
    modifier,
  ]);
  return rows[0]!.text;
}

function primary({ relation }: DescribedTable): string {
  const key = relation.columns.filter(({ key }) => key && relation.identity === 'default');
  return key.length === 0 ? '' : `, PRIMARY KEY (${key.map(({ name }) => quote(name)).join(', ')})`;
}

function schemaDiffers(table: string, fix: readonly string[]): UnderstudyError {
  return new UnderstudyError(
    'SCHEMA_DIFFERS',
    `table ${table} is not the same at the leader and here`,
    `Run here, or whatever was run at the leader (a column renamed shows as one gone and one new): ${fix.join('; ')};`,
  );
}
