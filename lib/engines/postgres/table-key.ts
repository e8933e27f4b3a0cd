import type pg from 'pg';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { decodeMessage, type RelationColumn } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

/** What a database knows of a table that a description speaks of. */
export type KnownTable = {
  /** Names as they may stand in SQL for people, by column of the description. */
  readonly columns: readonly { readonly sql: string; readonly type: string }[];
  readonly sql: string;
  /** It has an identity column that takes no value of anybody else's, unless asked to. */
  readonly isNumbering: boolean;
  /** Columns that name a row, as indexes; none if rows are told apart by all that they hold. */
  readonly key: readonly number[];
};

const COLUMNS = `
  SELECT quote_ident(c.name) AS sql, format_type(c.type, c.modifier) AS type,
         coalesce(a.attnum = ANY (p.conkey), false) AS in_primary, coalesce(a.attidentity = 'a', false) AS numbers
    FROM unnest($2::text[], $3::oid[], $4::int[]) WITH ORDINALITY c (name, type, modifier, n)
    LEFT JOIN pg_attribute a ON a.attrelid = to_regclass($1) AND a.attname = c.name AND NOT a.attisdropped
    LEFT JOIN pg_constraint p ON p.conrelid = a.attrelid AND p.contype = 'p'
   ORDER BY c.n`;

type ColumnRow = { sql: string; type: string; in_primary: boolean; numbers: boolean };

/**
 * Asks a database about a table. It need not be there any more: then rows of one without a key of its own (replica identity
 * FULL) are told apart by all that they hold.
 */
export async function knownTable(client: pg.Client, table: DescribedTable): Promise<KnownTable> {
  const { schema, name, columns, identity } = table.relation;
  const { rows } = await client.query<ColumnRow>(COLUMNS, [
    `${quote(schema)}.${quote(name)}`,
    columns.map((column) => column.name),
    columns.map(({ type }) => type),
    columns.map(({ modifier }) => modifier),
  ]);
  const names = await client.query<{ sql: string }>(
    `SELECT quote_ident($1) || '.' || quote_ident($2) AS sql`,
    [schema, name],
  );
  return {
    columns: rows.map(({ sql, type }, index) => ({ sql, type: userType(table, columns[index]!) ?? type })),
    sql: names.rows[0]!.sql,
    isNumbering: rows.some(({ numbers }) => numbers),
    key: rows.flatMap(({ in_primary }, index) =>
      (identity === 'full' ? in_primary : columns[index]!.key) ? [index] : [],
    ),
  };
}

/** The name of a type that PostgreSQL does not come with: its number means nothing elsewhere. */
export function userType({ types }: DescribedTable, { type }: RelationColumn): string | undefined {
  for (const message of types) {
    const known = decodeMessage(message);
    if (known.kind === 'type' && known.oid === type) return `${quote(known.schema)}.${quote(known.name)}`;
  }
  return undefined;
}
