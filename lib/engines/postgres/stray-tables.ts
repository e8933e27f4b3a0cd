import type pg from 'pg';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { quote, tableName } from '#lib/engines/postgres/quote.ts';
import { renameTo } from '#lib/engines/postgres/schema-fix.ts';
import type { Stray } from '#lib/ports/digest-source.ts';

type Named = { readonly schema: string; readonly name: string };
type LeaderTable = { readonly oid: string; readonly isPublished: boolean };

/** Tables of users, but for partitions; `$1` is a publication, or an epoch. */
const TABLES = (column: string) => `
  SELECT n.nspname AS schema, c.relname AS name, ${column}
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND ${isOfUsers('n.nspname')}
   ORDER BY 1, 2`;
const PUBLISHED = `EXISTS (
  SELECT FROM pg_publication_tables p WHERE p.pubname = $1 AND p.schemaname = n.nspname AND p.tablename = c.relname) AS published`;
const SEEN = `EXISTS (SELECT FROM understudy.seen_table s WHERE s.local = c.oid::bigint) AS seen,
  (SELECT max(s.oid) FROM understudy.seen_table s WHERE s.local = c.oid::bigint AND s.epoch = $1) AS theirs`;

/** The leader's tables by name, with their OIDs there, and whether each is published. */
export async function leaderTables(
  leader: pg.Client,
  publication: string,
): Promise<ReadonlyMap<string, LeaderTable>> {
  const { rows } = await leader.query<Named & { oid: string; published: boolean }>(
    TABLES(`c.oid::bigint AS oid, ${PUBLISHED}`),
    [publication],
  );
  return new Map(rows.map((row) => [tableName(row), { oid: row.oid, isPublished: row.published }]));
}

/**
 * Tables of a follower's that nobody keeps up: no change in the log tells of a table that is dropped or renamed, or no longer
 * published.
 *
 * @param tables the leader's, looked up before the follower was where it is: what was in them is applied.
 * @param epoch the leader's.
 */
export async function strayTables(
  follower: pg.Client,
  publication: string,
  tables: ReadonlyMap<string, LeaderTable>,
  epoch: Epoch,
): Promise<readonly Stray[]> {
  const { rows } = await follower.query<Named & { seen: boolean; theirs: string | null }>(TABLES(SEEN), [
    epoch,
  ]);
  const names = new Map([...tables].map(([name, { oid }]) => [oid, name]));
  return rows.flatMap(({ schema, name, seen, theirs }): Stray[] => {
    const table = tableName({ schema, name });
    const sql = `${quote(schema)}.${quote(name)}`;
    const isPublished = tables.get(table)?.isPublished;
    if (isPublished === undefined) {
      const now = names.get(theirs ?? '');
      if (now !== undefined) {
        return [{ table, what: `the leader calls it ${now} now`, fix: `Here: ${renameTo(table, now)};` }];
      }
      const what = seen ? 'the leader has dropped it' : 'the leader has no such table, or none yet';
      return [{ table, what, fix: `Here: DROP TABLE ${sql};` }];
    }
    // One that was never replicated is each database's own affair.
    if (isPublished || !seen) return [];
    const fix = `Here: DROP TABLE ${sql}; or, at the leader: ALTER PUBLICATION ${quote(publication)} ADD TABLE ${sql}; and copy it.`;
    return [{ table, what: 'the leader no longer publishes it', fix }];
  });
}

/**
 * Looks for stray tables in the catalogues of both as they are just now, and waits for nothing: a follower that is behind may
 * still need a table that its leader no longer has. Throws POSTGRES_UNREACHABLE or POSTGRES_REFUSED.
 */
export async function lookForStrays(
  deps: { readonly leader: Connect; readonly follower: Connect; readonly publication: string },
  epoch: Epoch,
): Promise<readonly Stray[]> {
  const look = async <T>(connect: Connect, at: (client: pg.Client) => Promise<T>): Promise<T> => {
    const client = await connect({ applicationName: 'understudy doctor' });
    try {
      return await at(client);
    } catch (error) {
      throw postgresFailure(error, 'name its tables');
    } finally {
      await client.end();
    }
  };
  const { follower, leader, publication } = deps;
  const tables = await look(leader, (client) => leaderTables(client, publication));
  return look(follower, (client) => strayTables(client, publication, tables, epoch));
}
