import type pg from 'pg';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { addColumn } from '#lib/engines/postgres/leader-catalog.ts';
import type { RelationColumn } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import type { CatalogRow, Compared } from '#lib/engines/postgres/schema-difference.ts';
import { userType } from '#lib/engines/postgres/table-key.ts';

export type Difference = {
  /** Of a type that the follower does not have. */
  readonly unknown: readonly RelationColumn[];
  readonly missing: readonly RelationColumn[];
  readonly retyped: readonly RelationColumn[];
  /** The leader had them, and they are here. */
  readonly dropped: readonly CatalogRow[];
  /** The leader gives them no value, and they take none by themselves. */
  readonly required: readonly CatalogRow[];
  readonly wasCalled: string | undefined;
  readonly replaced: number | undefined;
};

/** Statements that make the follower's table the leader's, and what must be said beside them. */
type Fix = { readonly statements: readonly string[]; readonly note: string };

/** @param before the table's columns before; `isKnown`: of this very table, as the leader had them. */
export async function schemaFix(
  client: pg.Client,
  { table, sql, local, past }: Compared,
  difference: Difference,
  before: { readonly columns: readonly string[]; readonly isKnown: boolean },
): Promise<Fix> {
  const { oid, schema, name, columns } = table.relation;
  const { unknown, missing, retyped, dropped, required, wasCalled, replaced } = difference;
  const leader = await past.leader?.table(oid);
  const statements: string[] = [];
  const notes: string[] = [];

  for (const column of new Map(unknown.map((each) => [each.type, each])).values()) {
    const labels = await past.leader?.labelsOf(column.type);
    statements.push(
      `CREATE TYPE ${userType(table, column)}${labels === undefined ? '' : ` AS ENUM (${labels})`}`,
    );
    if (labels === undefined) notes.push('The type is as the leader has it, perhaps of an extension.');
  }
  if (unknown.length > 0) return { statements, note: said(notes) };

  const isOther = wasCalled !== undefined || replaced !== undefined;
  if (isOther && local !== undefined) {
    const now = replaced === undefined ? null : await past.leader?.nameOf(replaced);
    if (typeof now === 'string') statements.push(renameTo(sql, now));
    else if (replaced !== undefined) statements.push(`DROP TABLE ${sql}`);
    else statements.push(`ALTER TABLE ${sql} RENAME TO ${quote(`${name}_before`)}`);
    if (now === undefined)
      notes.push('If the table of that name was renamed at the leader, rename it here, too.');
  }
  if (wasCalled !== undefined) {
    statements.push(renameTo(wasCalled, `${quote(schema)}.${quote(name)}`));
    return { statements, note: said(notes) };
  }

  const typed = async (column: RelationColumn) =>
    leader?.columns.get(column.name)?.type ?? (await typeText(client, table, column));
  if (local === undefined || isOther) {
    const list: string[] = [];
    for (const column of columns) list.push(`${quote(column.name)} ${await typed(column)}`);
    statements.push(`CREATE TABLE ${sql} (${list.join(', ')}${primary(table)})`);
    return { statements, note: said(notes) };
  }

  const left = new Map(dropped.map((row) => [row.name, row]));
  for (const column of missing) {
    const { from, isSure } = renamedFrom(column.name, columns, before.columns, missing);
    const added = leader?.columns.get(column.name);
    const add = added
      ? addColumn(sql, added)
      : [`ALTER TABLE ${sql} ADD COLUMN ${quote(column.name)} ${await typed(column)}`];
    const rename = `ALTER TABLE ${sql} RENAME COLUMN ${quote(from ?? '')} TO ${quote(column.name)}`;
    if (from !== undefined && before.isKnown && (isSure || leader?.hasDropped === false)) {
      statements.push(rename);
      left.delete(from);
      continue;
    }
    statements.push(...add);
    if (from !== undefined)
      notes.push(`If ${quote(from)} was renamed, instead, which keeps its values: ${rename}.`);
    if (added === undefined) notes.push('A default that the column has at the leader belongs to it.');
    else if (added.identity || /nextval\(/.test(added.given ?? ''))
      notes.push(
        `Values that rows had been given in ${quote(column.name)} when it was added are not in the log: copy the table anew.`,
      );
  }
  for (const column of retyped) {
    const type = await typed(column);
    const name = quote(column.name);
    statements.push(`ALTER TABLE ${sql} ALTER COLUMN ${name} TYPE ${type} USING ${name}::${type}`);
  }
  for (const row of left.values()) statements.push(`ALTER TABLE ${sql} DROP COLUMN ${quote(row.name)}`);
  for (const row of required) {
    statements.push(`ALTER TABLE ${sql} ALTER COLUMN ${quote(row.name)} DROP NOT NULL`);
  }
  return { statements, note: said(notes) };
}

/**
 * The column that stood where a new one stands now, with nothing of its name left. Columns are added at the end, so it is
 * the same one under another name if one after it has kept its place.
 */
function renamedFrom(
  name: string,
  columns: readonly RelationColumn[],
  before: readonly string[],
  missing: readonly RelationColumn[],
): { readonly from: string | undefined; readonly isSure: boolean } {
  const place = columns.findIndex((column) => column.name === name);
  const from = before[place];
  if (from === undefined || columns.some((column) => column.name === from))
    return { from: undefined, isSure: false };
  const isNew = (at: number) => missing.some((column) => column.name === columns[at]?.name);
  const isSure = before.some((kept, at) => at > place && !isNew(at) && columns[at]?.name === kept);
  return { from, isSure };
}

/** The statement that gives a table another name, both as `tableName` has them. */
export function renameTo(from: string, to: string): string {
  // Both with their schema; a table that has moved to another schema is moved before it is renamed.
  const [schema, name] = splitName(to);
  const [formerSchema, formerName] = splitName(from);
  if (formerSchema === schema) return `ALTER TABLE ${from} RENAME TO ${name}`;
  const moved = `ALTER TABLE ${from} SET SCHEMA ${schema}`;
  return formerName === name ? moved : `${moved}; ALTER TABLE ${schema}.${formerName} RENAME TO ${name}`;
}

function splitName(name: string): readonly [string, string] {
  const [, schema = '', rest = ''] = /^("(?:[^"]|"")*"|[^".]+)\.(.+)$/.exec(name) ?? [];
  return [/^"[a-z_][a-z0-9_]*"$/.test(schema) ? schema.slice(1, -1) : schema, rest];
}

async function typeText(client: pg.Client, table: DescribedTable, column: RelationColumn): Promise<string> {
  const name = userType(table, column);
  if (name !== undefined) return name;
  const { rows } = await client.query<{ text: string }>('SELECT format_type($1::bigint::oid, $2) AS text', [
    column.type,
    column.modifier,
  ]);
  return rows[0]!.text;
}

function primary({ relation }: DescribedTable): string {
  const key = relation.columns.filter(({ key }) => key && relation.identity === 'default');
  return key.length === 0 ? '' : `, PRIMARY KEY (${key.map(({ name }) => quote(name)).join(', ')})`;
}

const said = (notes: readonly string[]) => [...new Set(notes)].map((note) => ` ${note}`).join('');
