import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { literal, quote, tableName } from '#lib/engines/postgres/quote.ts';
import type { BucketDigest, DigestSource } from '#lib/ports/digest-source.ts';

const BUCKETS = 256;

type Table = {
  readonly name: string;
  readonly sql: string;
  readonly key: string;
  readonly row: string;
  /** Columns of the primary key, in the order in which a key tells them; absent where there is none. */
  readonly primary?: readonly { readonly name: string; readonly type: string }[];
};

/** Pages that one statement reads at most: 64 MiB of a table. */
const PAGES = 8_192;

/**
 * Digests of all tables of a database, computed by the server: rows fall into buckets by the hash of their table's name and
 * key, and never leave it. A row's digest is that of its columns by name, as text, so it does not depend on the
 * order of columns or on partitions. A table without a primary key has its whole rows for keys. It goes gently over a
 * database that is in use: piece by piece, and idle between two for as long as the first has taken.
 */
export class PostgresDigest implements DigestSource {
  readonly #source: Connect | pg.Client;
  readonly #pages: number;
  readonly #rest: (busyMs: number) => Promise<unknown>;
  readonly #only: ReadonlySet<string> | undefined;

  /**
   * @param source whom to ask: each read has a moment of its own; or where a transaction is open, whose moment all reads have.
   * @param options.pages of a table that one statement reads.
   * @param options.rest waits after a statement that has taken so long.
   * @param options.only names of the tables that are read; all, if not given.
   */
  constructor(
    source: Connect | pg.Client,
    options: {
      readonly pages?: number;
      readonly rest?: (busyMs: number) => Promise<unknown>;
      readonly only?: ReadonlySet<string>;
    } = {},
  ) {
    this.#source = source;
    this.#only = options.only;
    this.#pages = options.pages ?? PAGES;
    this.#rest = options.rest ?? sleep;
  }

  buckets(): Promise<readonly BucketDigest[]> {
    return this.#read(async (client, tables) => {
      const rows = new Array<number>(BUCKETS).fill(0);
      // Two sums of 64 bits each, without a carry from one to the other: the pieces may be cut anywhere.
      const lows = new Array<bigint>(BUCKETS).fill(0n);
      const highs = new Array<bigint>(BUCKETS).fill(0n);
      await this.#scan(client, tables, async (source) => {
        const { rows: found } = await client.query<{
          bucket: number;
          rows: string;
          low: string;
          high: string;
        }>(
          `SELECT bucket, count(*) AS rows, sum(('x' || left(digest, 16))::bit(64)::bigint) AS low,
                  sum(('x' || right(digest, 16))::bit(64)::bigint) AS high
             FROM (${source}) d GROUP BY bucket`,
        );
        for (const each of found) {
          rows[each.bucket]! += Number(each.rows);
          // A sum, as rows come in any order, and rows that are equal must not cancel each other out.
          lows[each.bucket] = BigInt.asUintN(64, lows[each.bucket]! + BigInt(each.low));
          highs[each.bucket] = BigInt.asUintN(64, highs[each.bucket]! + BigInt(each.high));
        }
      });
      return rows.map((count, bucket) => {
        const digest = (highs[bucket]! << 64n) | lows[bucket]!;
        return { rows: count, digest: digest.toString(16).padStart(32, '0') };
      });
    });
  }

  rows(buckets: ReadonlySet<number>): Promise<ReadonlyMap<string, string>> {
    return this.#read(async (client, tables) => {
      const counted = new Counted();
      await this.#scan(client, tables, (source) =>
        counted.add(client, source, 'bucket = ANY ($1)', [...buckets]),
      );
      return counted.digests();
    });
  }

  recheck(keys: readonly string[]): Promise<ReadonlyMap<string, string | undefined>> {
    return this.#read(async (client, tables) => {
      const counted = new Counted();
      for (const table of tables) {
        const own = keys.filter((key) => key.startsWith(`${table.name} `));
        if (own.length === 0) continue;
        if (table.primary !== undefined) {
          const texts = own.map((key) => key.slice(table.name.length + 1));
          await counted.add(client, digests(table, byKey(table, table.primary)), 'true', texts);
        } else {
          await this.#scan(client, [table], (source) => counted.add(client, source, 'key = ANY ($1)', own));
        }
      }
      const found = counted.digests();
      return new Map(keys.map((key) => [key, found.get(key)]));
    });
  }

  /** Calls `work` for one piece after the other, each as a query of its rows' keys and digests. */
  async #scan(
    client: pg.Client,
    tables: readonly Table[],
    work: (source: string) => Promise<unknown>,
  ): Promise<void> {
    for (const table of tables) {
      const { rows: parts } = await client.query<{ sql: string; pages: string }>(PARTS, [table.sql]);
      for (const { sql, pages } of parts) {
        for (let from = 0; from === 0 || from < Number(pages); from += this.#pages) {
          const isLast = from + this.#pages >= Number(pages);
          const end = isLast ? '' : ` AND ctid < '(${from + this.#pages},0)'`;
          const began = performance.now();
          await work(digests(table, `${sql} t WHERE ctid >= '(${from},0)'${end}`));
          await this.#rest(performance.now() - began);
        }
      }
    }
  }

  /** All tables of one read are seen at one moment. */
  async #read<T>(work: (client: pg.Client, tables: readonly Table[]) => Promise<T>): Promise<T> {
    const source = this.#source;
    const isOpen = typeof source !== 'function';
    const client = isOpen ? source : await source({ applicationName: 'understudy verify' });
    try {
      if (!isOpen) await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      await client.query(`SET LOCAL timezone = 'UTC'`);
      const tables = await tablesOf(client);
      return await work(
        client,
        tables.filter(({ name }) => this.#only?.has(name) ?? true),
      );
    } catch (error) {
      throw postgresFailure(error, 'compute digests');
    } finally {
      if (!isOpen) await client.end();
    }
  }
}

/** A table's parts that hold rows, with the pages that they have; a table without partitions is in no tree. */
const PARTS = `
  SELECT format('%I.%I', n.nspname, c.relname) AS sql,
         pg_relation_size(c.oid) / current_setting('block_size')::int AS pages
    FROM (SELECT relid AS part FROM pg_partition_tree($1::regclass) UNION SELECT $1::regclass) tree
    JOIN pg_class c ON c.oid = part JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' ORDER BY 1`;

/** Rows that are equal and have no key count together: their number is part of the digest. */
class Counted {
  readonly #found = new Map<string, { readonly digest: string; count: number }>();

  async add(
    client: pg.Client,
    source: string,
    condition: string,
    values: readonly (string | number)[],
  ): Promise<void> {
    const { rows } = await client.query<{ key: string; digest: string; count: string }>(
      `SELECT key, min(digest) AS digest, count(*) AS count FROM (${source}) d WHERE ${condition} GROUP BY key`,
      [values],
    );
    for (const { key, digest, count } of rows) {
      const known = this.#found.get(key);
      if (known === undefined) this.#found.set(key, { digest, count: Number(count) });
      else known.count += Number(count);
    }
  }

  digests(): Map<string, string> {
    return new Map([...this.#found].map(([key, { digest, count }]) => [key, `${digest} ${count}`]));
  }
}

/** @param rows where the rows come from, as `t`. */
function digests({ name, key, row }: Table, rows: string): string {
  return `SELECT key, get_byte(decode(md5(key), 'hex'), 0) AS bucket, md5(row_text || key) AS digest
            FROM (SELECT ${literal(`${name} `)} || (${key}) AS key, (${row}) AS row_text FROM ${rows}) r`;
}

/** A table's rows by their keys' texts, which are in $1: found by index, however large the table is. */
function byKey({ sql }: Table, primary: NonNullable<Table['primary']>): string {
  const equal = primary.map(
    ({ name, type }, index) => `t.${quote(name)} = (k.key::text[])[${index + 1}]::${type}`,
  );
  return `unnest($1::text[]) k (key) JOIN ${sql} t ON ${equal.join(' AND ')}`;
}

async function tablesOf(client: pg.Client): Promise<readonly Table[]> {
  const { rows } = await client.query<{
    schema: string;
    name: string;
    columns: string[];
    key: string[] | null;
    types: string[] | null;
  }>(
    `SELECT n.nspname AS schema, c.relname AS name,
            array_agg(a.attname::text ORDER BY a.attname) AS columns,
            array_agg(a.attname::text ORDER BY a.attname) FILTER (WHERE a.attnum = ANY (p.conkey)) AS key,
            array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attname) FILTER (WHERE a.attnum = ANY (p.conkey)) AS types
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
       LEFT JOIN pg_constraint p ON p.conrelid = c.oid AND p.contype = 'p'
      WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
        AND ${isOfUsers('n.nspname')}
      GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  return rows.map(({ schema, name, columns, key, types }) => ({
    name: tableName({ schema, name }),
    sql: `${quote(schema)}.${quote(name)}`,
    key: texts(key ?? columns),
    row: texts(columns),
    ...(key && types && { primary: key.map((column, index) => ({ name: column, type: types[index]! })) }),
  }));
}

/** Columns as the text of an array: quoted, so that no two rows have the same. */
function texts(columns: readonly string[]): string {
  return `array[${columns.map((column) => `t.${quote(column)}::text`).join(', ')}]::text`;
}
