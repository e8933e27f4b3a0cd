import type { ChangeKind } from '#lib/domain/change.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { PostgresChange } from '#lib/engines/postgres/divergent-change.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import type { KnownTable } from '#lib/engines/postgres/table-key.ts';

/** Text of each column that a change tells, by its place; null for NULL. */
export type Told = ReadonlyMap<number, string | null>;
export type ToldRow = { readonly before?: Told; readonly after?: Told };

/** Types whose values stand in SQL as they are. */
const BARE = /^(smallint|integer|bigint|numeric|real|double precision|boolean)/;
const BARE_VALUE = /^(-?\d+(\.\d+)?|true|false)$/;
/** Types whose values can't be compared, or not exactly. */
const INCOMPARABLE = /^(json|xml|point|line|lseg|box|path|polygon|circle)$/;

/** What people read of a row's change: its table and key, the row before and after, and the statement. */
export function tellRow(
  { name, relation }: DescribedTable,
  known: KnownTable,
  kind: ChangeKind,
  { before, after }: ToldRow,
): Partial<PostgresChange> {
  const { columns, sql } = known;
  const named = (told: Told, wanted: readonly number[] = [...told.keys()]) =>
    Object.fromEntries(
      wanted.filter((at) => told.has(at)).map((at) => [relation.columns[at]!.name, told.get(at)!]),
    );
  const value = (told: Told, at: number) => valueSql(columns[at]!.type, told.get(at)!);
  const list = (parts: readonly string[]) => parts.join(', ');
  const old = before ?? after!;
  const key = known.key.length > 0 ? known.key : [...old.keys()];
  const equal = key.map((at) => equals(columns[at]!, old.get(at) ?? null)).join(' AND ');
  // Of rows that are equal in all that they hold, one.
  const where = known.key.length > 0 ? equal : `ctid = (SELECT ctid FROM ${sql} WHERE ${equal} LIMIT 1)`;
  let statement: string;
  if (kind === 'delete') statement = `DELETE FROM ${sql} WHERE ${where}`;
  else if (kind === 'insert') {
    const given = [...after!.keys()];
    statement =
      given.length === 0
        ? `INSERT INTO ${sql} DEFAULT VALUES`
        : `INSERT INTO ${sql} (${list(given.map((at) => columns[at]!.sql))}) ${known.isNumbering ? 'OVERRIDING SYSTEM VALUE ' : ''}VALUES (${list(given.map((at) => value(after!, at)))})`;
  } else {
    // Of a row that is told whole, what has changed; else all of it, but for a key that stays.
    const set = [...after!.keys()].filter((at) =>
      before?.has(at) ? before.get(at) !== after!.get(at) : !known.key.includes(at),
    );
    const given = set.length > 0 ? set : [...after!.keys()];
    statement = `UPDATE ${sql} SET ${list(given.map((at) => `${columns[at]!.sql} = ${value(after!, at)}`))} WHERE ${where}`;
  }
  return {
    table: name,
    key: named(kind === 'insert' ? after! : old, known.key.length > 0 ? known.key : undefined),
    ...(before && { before: named(before) }),
    ...(after && { after: named(after) }),
    sql: statement,
  };
}

function valueSql(type: string, text: string | null): string {
  if (text === null) return 'NULL';
  if (BARE.test(type) && BARE_VALUE.test(text)) return text;
  return literal(text).trim();
}

function equals({ sql, type }: { readonly sql: string; readonly type: string }, text: string | null): string {
  if (text === null) return `${sql} IS NULL`;
  return INCOMPARABLE.test(type)
    ? `${sql}::text = ${literal(text).trim()}`
    : `${sql} = ${valueSql(type, text)}`;
}
