import type pg from 'pg';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { quote, tableName } from '#lib/engines/postgres/quote.ts';
import type { Stray } from '#lib/ports/digest-source.ts';

type Named = { readonly schema: string; readonly name: string };

/** Tables of users, but for partitions; `$1` is a publication. */
const TABLES = (column: string) => `
  SELECT n.nspname AS schema, c.relname AS name, ${column}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND ${isOfUsers('n.nspname')}
   ORDER BY 1, 2`;
const PUBLISHED = `EXISTS (
  SELECT FROM pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname = n.nspname AND p.tablename = c.relname) AS published`;
const SEEN = `EXISTS (SELECT FROM understudy.seen_table s WHERE s.local = c.oid::bigint) AS seen`;

/** The leader's tables, and whether each is published. */
export async function leaderTables(
  leader: pg.Client,
  publication: string,
): Promise<ReadonlyMap<string, boolean>> {
  const { rows } = await leader.query<Named & { published: boolean }>(TABLES(PUBLISHED), [publication]);
  return new Map(rows.map((row) => [tableName(row), row.published]));
}

/**
 * Tables of a follower's that nobody keeps up: no change in the log tells of a table that is dropped, or no longer published.
 *
 * @param tables the leader's, looked up before the follower was where it is: what was in them is applied.
 */
export async function strayTables(
  follower: pg.Client,
  publication: string,
  tables: ReadonlyMap<string, boolean>,
): Promise<readonly Stray[]> {
  const { rows } = await follower.query<Named & { seen: boolean }>(TABLES(SEEN));
  return rows.flatMap(({ schema, name, seen }): Stray[] => {
    const table = tableName({ schema, name });
    const sql = `${quote(schema)}.${quote(name)}`;
    const isPublished = tables.get(table);
    if (isPublished === undefined) {
      const what = seen ? 'the leader has dropped it' : 'the leader has no such table, or none yet';
      return [{ table, what, fix: `Here: DROP TABLE ${sql};` }];
    }
    // One that was never replicated is each database's own affair.
    if (isPublished || !seen) return [];
    const fix = `Here: DROP TABLE ${sql}; or, at the leader: ALTER PUBLICATION ${quote(publication)} ADD TABLE ${sql}; and copy it.`;
    return [{ table, what: 'the leader no longer publishes it', fix }];
  });
}
