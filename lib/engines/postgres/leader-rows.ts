import type pg from 'pg';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { copyAcross } from '#lib/engines/postgres/copy-across.ts';
import { MESSAGE_PREFIX } from '#lib/engines/postgres/own-names.ts';
import { literal, quote, tableName } from '#lib/engines/postgres/quote.ts';
import { binaryFit } from '#lib/engines/postgres/slot-session.ts';
import { beginAt, type Published, publishedTables } from '#lib/engines/postgres/snapshot.ts';
import type { TouchedTable } from '#lib/engines/postgres/touched-rows.ts';

/** Rows that one statement names by their keys. */
const KEYS = 500;

/** Keys as text, of rows of a table. */
export type Keys = readonly (readonly (string | null)[])[];

/** Some tables of the leader's, as they are at one exact moment. */
export class LeaderRows {
  /** WAL position of the moment. */
  readonly position: bigint;
  readonly #client: pg.Client;
  readonly #published: ReadonlyMap<string, Published>;
  readonly #format: 'binary' | 'text';

  private constructor(
    client: pg.Client,
    position: bigint,
    published: ReadonlyMap<string, Published>,
    format: 'binary' | 'text',
  ) {
    this.#client = client;
    this.position = position;
    this.#published = published;
    this.#format = format;
  }

  /** The leader's log goes on beyond the moment soon, even if nobody writes. */
  static async open(leader: Connect, publication: string, tables: readonly string[]): Promise<LeaderRows> {
    const client = await leader({ applicationName: 'understudy reattach' });
    try {
      const all = new Map(
        (await publishedTables(client, publication)).map((each) => [tableName(each), each]),
      );
      const published = new Map([...all].filter(([name]) => tables.includes(name)));
      const { fit } = await binaryFit(client, publication);
      const other = await leader({ applicationName: 'understudy reattach' });
      let position: bigint;
      try {
        position = await beginAt(other, client, [...published.values()].map(sqlOf));
        await other.query(`SELECT pg_logical_emit_message(true, '${MESSAGE_PREFIX}', 'looked at')`);
      } finally {
        await other.end();
      }
      return new LeaderRows(client, position, published, fit ? 'binary' : 'text');
    } catch (error) {
      await client.end();
      throw error;
    }
  }

  /** Size of a table on the leader's disk, bytes; 0 for one that it does not have. */
  async sizeOf({ table }: TouchedTable): Promise<number> {
    const published = this.#published.get(table.name);
    if (published === undefined) return 0;
    // A table without partitions is in no tree.
    const { rows } = await this.#client.query<{ bytes: string }>(
      `SELECT sum(pg_total_relation_size(part)) AS bytes
         FROM (SELECT relid AS part FROM pg_partition_tree($1::regclass) UNION SELECT $1::regclass) tree`,
      [sqlOf(published)],
    );
    return Number(rows[0]!.bytes);
  }

  /** Copies what there is of a table's touched rows into the open transaction of `to`, where they are not. */
  async copy({ table, key, whole }: TouchedTable, keys: Keys, to: pg.Client): Promise<void> {
    const published = this.#published.get(table.name);
    // What the leader never had is gone.
    if (published === undefined) return;
    const sql = sqlOf(published);
    const columns = published.columns.map(quote).join(', ');
    const into = columns === '' ? sql : `${sql} (${columns})`;
    for (const where of whole ? [''] : conditions(key, keys)) {
      await copyAcross(this.#client, `SELECT ${columns} FROM ${sql}${where}`, to, into, this.#format);
    }
  }

  async end(): Promise<void> {
    await this.#client.end();
  }
}

/** Removes a table's touched rows. */
export async function removeRows(client: pg.Client, { table, key, whole }: TouchedTable, keys: Keys) {
  for (const where of whole ? [''] : conditions(key, keys)) {
    await client.query(`DELETE FROM ${sqlOf(table.relation)}${where}`);
  }
}

function sqlOf({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quote(schema)}.${quote(name)}`;
}

/** Literals take the types of the columns that they are compared with. */
function* conditions(key: readonly string[], keys: Keys): Iterable<string> {
  const columns = key.map(quote).join(', ');
  for (let at = 0; at < keys.length; at += KEYS) {
    const rows = keys.slice(at, at + KEYS).map((row) => row.map((text) => literal(text!)).join(', '));
    const list = rows.map((row) => (key.length === 1 ? row : `(${row})`)).join(', ');
    yield key.length === 1 ? ` WHERE ${columns} IN (${list})` : ` WHERE (${columns}) IN (${list})`;
  }
}
