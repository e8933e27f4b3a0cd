import type pg from 'pg';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { tableName } from '#lib/engines/postgres/quote.ts';

/** The files that tables are in; partitions count for their root. */
const FILES = `
  SELECT n.nspname AS schema, r.relname AS name, array_agg(c.relfilenode ORDER BY c.oid)::text AS files
    FROM pg_class c JOIN pg_class r ON r.oid = coalesce(pg_partition_root(c.oid), c.oid)
    JOIN pg_namespace n ON n.oid = r.relnamespace
   WHERE c.relkind = 'r' AND ${isOfUsers('n.nspname')} GROUP BY 1, 2`;

/**
 * Tables that were truncated or rewritten since a transaction took its snapshot: it may see them empty, as if they had been
 * then.
 */
export async function rewrittenTables(snapshot: pg.Client, connect: Connect): Promise<readonly string[]> {
  const client = await connect({ applicationName: 'understudy verify' });
  try {
    const [then, now] = [await filesOf(snapshot), await filesOf(client)];
    return [...then].flatMap(([name, files]) => (now.get(name) === files ? [] : [name]));
  } finally {
    await client.end();
  }
}

async function filesOf(client: pg.Client): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ schema: string; name: string; files: string }>(FILES);
  return new Map(rows.map((row) => [tableName(row), row.files]));
}
