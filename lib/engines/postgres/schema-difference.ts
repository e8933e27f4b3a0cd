import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { EPOCH_ZERO, type Epoch } from '#lib/domain/lsn.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { LeaderCatalog } from '#lib/engines/postgres/leader-catalog.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { schemaFix } from '#lib/engines/postgres/schema-fix.ts';
import type { SeenTables } from '#lib/engines/postgres/seen-tables.ts';
import { userType } from '#lib/engines/postgres/table-key.ts';

/** A column of the follower's. */
export type CatalogRow = {
  readonly name: string;
  readonly type: string;
  readonly array: string;
  readonly category: string;
  readonly sql_type: string;
  /** The type below a domain, and its modifier. */
  readonly base: string;
  readonly modifier: number;
  readonly must_be_given: boolean;
  readonly in_primary: boolean;
};

/** What came before a description: nothing is known where there is no `seen`. */
export type Past = {
  readonly epoch: Epoch;
  readonly seen: SeenTables | undefined;
  readonly leader: LeaderCatalog | undefined;
  /** In the middle of a transaction of the leader's, which may have begun with other columns. */
  readonly isInside: boolean;
};
export const NO_PAST: Past = { epoch: EPOCH_ZERO, seen: undefined, leader: undefined, isInside: false };

export type Compared = {
  readonly table: DescribedTable;
  readonly sql: string;
  /** OID of the follower's table of that name. */
  readonly local: number | undefined;
  readonly rows: readonly CatalogRow[];
  readonly past: Past;
};

const BASE = `
  LEFT JOIN LATERAL (
    WITH RECURSIVE b AS (SELECT t.oid, t.typbasetype
      UNION ALL SELECT u.oid, u.typbasetype FROM b JOIN pg_type u ON u.oid = b.typbasetype)
    SELECT b.oid FROM b WHERE b.typbasetype = 0) base ON true`;

const COLUMNS = `
  SELECT a.attname AS name, a.atttypid::bigint AS type, t.typarray::bigint AS array,
         t.typcategory AS category, format_type(a.atttypid, a.atttypmod) AS sql_type, base.oid::bigint AS base,
         CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE a.atttypmod END AS modifier,
         a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AS must_be_given,
         coalesce(a.attnum = ANY (p.conkey), false) AS in_primary
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_constraint p ON p.conrelid = a.attrelid AND p.contype = 'p' ${BASE}
   WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;

const TYPES = `
  SELECT base.oid::bigint AS base
    FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY l (type, name, n)
    LEFT JOIN pg_type t ON t.oid = CASE WHEN l.name IS NULL THEN l.type::oid ELSE to_regtype(l.name)::oid END ${BASE}
   ORDER BY l.n`;

const FIRST_USER_OID = 16_384;
const TEXT = 25;
const VARCHAR = 1043;
const VARBIT = 1562;

export async function columnsOf(client: pg.Client, sql: string): Promise<readonly CatalogRow[]> {
  return (await client.query<CatalogRow>(COLUMNS, [sql])).rows;
}

/** Throws SCHEMA_DIFFERS if changes of a description cannot be written to a table as they are, or some would be lost. */
export async function checkSchema(client: pg.Client, compared: Compared): Promise<void> {
  const { table, local, rows, past } = compared;
  const { columns, oid } = table.relation;
  const seen = past.seen?.of(past.epoch, oid);
  const types = columns.map((column) => userType(table, column));
  const resolved = await client.query<{ base: string | null }>(TYPES, [
    columns.map(({ type }) => type),
    types.map((name) => name ?? null),
  ]);
  const bases = resolved.rows.map(({ base }) => (base === null ? undefined : Number(base)));
  const unknown = columns.filter((_, index) => types[index] !== undefined && bases[index] === undefined);
  const byName = new Map(rows.map((row) => [row.name, row]));
  const described = new Set(columns.map(({ name }) => name));
  const gone = rows.filter(({ name }) => !described.has(name));
  const difference = {
    unknown,
    missing: columns.filter(({ name }) => !byName.has(name)),
    retyped: columns.filter(({ name, type, modifier }, index) => {
      const here = byName.get(name);
      const base = bases[index];
      if (here === undefined || base === undefined) return false;
      // A domain is described by the type below it, and its modifier is not told.
      const isTold = type < FIRST_USER_OID || base >= FIRST_USER_OID;
      return !holds(here, base, isTold ? modifier : here.modifier);
    }),
    // A column of the follower's own is no harm as long as it takes care of itself: it may be one that the leader is about
    // to get. In the middle of a transaction it may be one that the leader had before.
    dropped: past.isInside ? [] : gone.filter(({ name }) => seen?.columns.includes(name)),
    required: gone.filter(
      ({ name, must_be_given }) => must_be_given && (past.isInside || !seen?.columns.includes(name)),
    ),
    /** What this table was called here, or what has taken its name at the leader. */
    wasCalled: seen === undefined || seen.local === local ? undefined : await nameOf(client, seen.local),
    replaced:
      seen !== undefined || local === undefined ? undefined : past.seen?.otherAt(past.epoch, oid, local),
  };
  const { wasCalled, replaced, ...lists } = difference;
  const isEqual = Object.values(lists).every((list) => list.length === 0);
  if (local !== undefined && isEqual && wasCalled === undefined && replaced === undefined) return;
  const fix = await schemaFix(client, compared, difference, {
    columns: seen?.columns ?? rows.map(({ name }) => name),
    isKnown: seen !== undefined,
  });
  throw new UnderstudyError(
    'SCHEMA_DIFFERS',
    `table ${table.name} is not the same at the leader and here`,
    `Run here, or whatever was run at the leader: ${fix.statements.map((each) => `${each};`).join(' ')}${fix.note}`,
  );
}

/** True if every value of a type is the same value in a column, however it travels. */
function holds(here: CatalogRow, base: number, modifier: number): boolean {
  const own = Number(here.base);
  if (own !== base) return own === TEXT && base === VARCHAR;
  if (here.modifier === modifier || here.modifier === -1) return true;
  return (base === VARCHAR || base === VARBIT) && modifier !== -1 && here.modifier > modifier;
}

async function nameOf(client: pg.Client, local: number): Promise<string | undefined> {
  const { rows } = await client.query<{ schema: string; name: string }>(
    'SELECT relnamespace::regnamespace::text AS schema, relname AS name FROM pg_class WHERE oid = $1::bigint::oid',
    [local],
  );
  return rows[0] && `${rows[0].schema}.${quote(rows[0].name)}`;
}
