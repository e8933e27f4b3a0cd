import type pg from 'pg';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { OWN_SCHEMA } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { literal, quote, tableName } from '#lib/engines/postgres/quote.ts';
import type { BucketDigest, DigestSource } from '#lib/ports/digest-source.ts';

const BUCKETS = 256;

type Table = { readonly name: string; readonly sql: string; readonly key: string; readonly row: string };

/**
 * Digests of all tables of a database, computed by the server: rows fall into buckets by the hash of their table's name and
 * key, and never leave it. A row's digest is that of its columns by name, as text, so it does not depend on the
 * order of columns or on partitions. A table without a primary key has its whole rows for keys.
 */
export class PostgresDigest implements DigestSource {
  readonly #connect: Connect;

  constructor(connect: Connect) {
    this.#connect = connect;
  }

  buckets(): Promise<readonly BucketDigest[]> {
    return this.#read(async (client, tables) => {
      const rows = new Array<number>(BUCKETS).fill(0);
      const sums = new Array<bigint>(BUCKETS).fill(0n);
      for (const table of tables) {
        const { rows: found } = await client.query<{
          bucket: number;
          rows: string;
          low: string;
          high: string;
        }>(
          `SELECT bucket, count(*) AS rows, sum(('x' || left(digest, 16))::bit(64)::bigint) AS low,
                  sum(('x' || right(digest, 16))::bit(64)::bigint) AS high
             FROM (${digests(table)}) d GROUP BY bucket`,
        );
        for (const each of found) {
          rows[each.bucket]! += Number(each.rows);
          const digest =
            (BigInt.asUintN(64, BigInt(each.low)) << 64n) | BigInt.asUintN(64, BigInt(each.high));
          // A sum, as rows come in any order, and rows that are equal must not cancel each other out.
          sums[each.bucket] = BigInt.asUintN(128, sums[each.bucket]! + digest);
        }
      }
      return sums.map((sum, bucket) => ({ rows: rows[bucket]!, digest: sum.toString(16).padStart(32, '0') }));
    });
  }

  rows(buckets: ReadonlySet<number>): Promise<ReadonlyMap<string, string>> {
    return this.#read(async (client, tables) => {
      const all = new Map<string, string>();
      for (const table of tables) await collect(client, table, 'bucket = ANY ($1)', [...buckets], all);
      return all;
    });
  }

  recheck(keys: readonly string[]): Promise<ReadonlyMap<string, string | undefined>> {
    return this.#read(async (client, tables) => {
      const found = new Map<string, string>();
      for (const table of tables) {
        const own = keys.filter((key) => key.startsWith(`${table.name} `));
        if (own.length > 0) await collect(client, table, 'key = ANY ($1)', own, found);
      }
      return new Map(keys.map((key) => [key, found.get(key)]));
    });
  }

  /** All tables of one read are seen at one moment. */
  async #read<T>(work: (client: pg.Client, tables: readonly Table[]) => Promise<T>): Promise<T> {
    const client = await this.#connect({ applicationName: 'understudy verify' });
    try {
      await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET LOCAL timezone = 'UTC'`);
      return await work(client, await tablesOf(client));
    } catch (error) {
      throw postgresFailure(error, 'compute digests');
    } finally {
      await client.end();
    }
  }
}

/** Rows that are equal and have no key count together: their number is part of the digest. */
async function collect(
  client: pg.Client,
  table: Table,
  condition: string,
  values: readonly (string | number)[],
  into: Map<string, string>,
): Promise<void> {
  const { rows } = await client.query<{ key: string; digest: string }>(
    `SELECT key, min(digest) || ' ' || count(*) AS digest FROM (${digests(table)}) d WHERE ${condition} GROUP BY key`,
    [values],
  );
  for (const { key, digest } of rows) into.set(key, digest);
}

function digests({ name, sql, key, row }: Table): string {
  return `SELECT key, get_byte(decode(md5(key), 'hex'), 0) AS bucket, md5(row_text || key) AS digest
            FROM (SELECT ${literal(`${name} `)} || (${key}) AS key, (${row}) AS row_text FROM ${sql} t) r`;
}

async function tablesOf(client: pg.Client): Promise<readonly Table[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    columns: string[];
    key: string[] | null;
  }>(
    `SELECT n.nspname AS schema, c.relname AS name,
            array_agg(a.attname::text ORDER BY a.attname) AS columns,
            array_agg(a.attname::text ORDER BY a.attname) FILTER (WHERE a.attnum = ANY (p.conkey)) AS key
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
      WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
        AND n.nspname NOT IN ('pg_catalog', 'information_schema', $1) AND n.nspname !~ '^pg_'
      GROUP BY 1, 2 ORDER BY 1, 2`,
    [OWN_SCHEMA],
  );
  return rows.map(({ schema, name, columns, key }) => ({
    name: tableName({ schema, name }),
    sql: `${quote(schema)}.${quote(name)}`,
    key: texts(key ?? columns),
    row: texts(columns),
  }));
}

/** Columns as the text of an array: quoted, so that no two rows have the same. */
function texts(columns: readonly string[]): string {
  return `array[${columns.map((column) => `t.${quote(column)}::text`).join(', ')}]::text`;
}
