import type pg from 'pg';
import { LANE_0 } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { DELETE, NULL, RowChange, type Tuple, UNCHANGED } from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter } from '#lib/engines/postgres/pipeline.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { keyOf } from '#lib/engines/postgres/row-key.ts';
import { RunReader } from '#lib/engines/postgres/run-reader.ts';
import { knownTable } from '#lib/engines/postgres/table-key.ts';
import { valueAt, valueTexts } from '#lib/engines/postgres/value-texts.ts';
import type { LoggedChanges } from '#lib/ports/digest-source.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** Entries that are read at a time, and rows that are told one by one at most; more of a table stand for all of it. */
const PAGE = 50;
const MAX_ROWS = 100_000;

/** A row as it was last touched. */
type Touch = { readonly values: readonly Parameter[]; readonly fate: 'there' | 'gone' };

/** Rows of one description of a table, in the order in which they were last touched. */
type Touched = { readonly key: readonly number[]; readonly rows: Map<string, Touch> };

/** Columns of the primary key by name; none where there is none. */
const PRIMARY = `
  SELECT coalesce(array_agg(a.attname::text ORDER BY a.attname), '{}') AS names
    FROM pg_constraint p JOIN pg_attribute a ON a.attrelid = p.conrelid AND a.attnum = ANY (p.conkey)
   WHERE p.contype = 'p' AND p.conrelid = to_regclass($1)`;

/**
 * What a log did after `from`, up to `to`, which is the end of a transaction; rows are named as `PostgresDigest` names them.
 * Undefined where the log has not all of it, or not all in one epoch.
 *
 * @param client a session of a database that has the tables; its time zone is UTC.
 */
export async function loggedChanges(
  client: pg.Client,
  log: ReplicaLog,
  { from, to, epoch }: { readonly from: Lsn; readonly to: Lsn; readonly epoch: Epoch },
): Promise<LoggedChanges | undefined> {
  const touched = new TouchedKeys(client);
  for (let at = from; at < to; ) {
    const around = await log.entryAt(LANE_0, advance(at, 1));
    if (around === undefined) return undefined;
    for (const entry of [around, ...(await log.entries(LANE_0, advance(lastOf(around), 1), PAGE))]) {
      if (at >= to) break;
      if (entry.epoch !== epoch || entry.first > advance(at, 1)) return undefined;
      await touched.add(new RunReader([{ entry, bytes: await log.getSegment(entry) }], at), to);
      at = lastOf(entry);
    }
  }
  return touched.told();
}

class TouchedKeys {
  readonly #client: pg.Client;
  readonly #row = new RowChange();
  readonly #byTable = new Map<DescribedTable, Touched>();
  /** Tables of which it is not told row by row. */
  readonly #whole = new Set<string>();
  #count = 0;

  constructor(client: pg.Client) {
    this.#client = client;
  }

  async add(reader: RunReader, to: Lsn): Promise<void> {
    for (const segment of reader.segments) {
      for (const table of reader.tablesOf(segment)) await this.#learn(table);
    }
    reader.forEach(to, ({ after, kind, table }, { tables }) => {
      if (kind === 'marker') return;
      if (kind !== 'statement') return this.#touch(tables[table]!, after!);
      const decoded = decodeMessage(after!);
      const oids = decoded.kind === 'truncate' ? decoded.relations : [];
      for (const each of tables) if (each && oids.includes(each.relation.oid)) this.#whole.add(each.name);
    });
  }

  async told(): Promise<LoggedChanges> {
    const rows = new Map<string, 'there' | 'gone'>();
    for (const [table, { key, rows: found }] of this.#byTable) {
      if (this.#whole.has(table.name)) continue;
      const { columns } = await knownTable(this.#client, table);
      const touches = [...found.values()];
      const types = key.map((column) => columns[column]!.type);
      const texts = await valueTexts(
        this.#client,
        types,
        touches.map(({ values }) => values),
      );
      const keys = await this.#arrays(texts);
      touches.forEach(({ fate }, index) => {
        const name = `${table.name} ${keys[index]}`;
        // Of two descriptions the later one comes later.
        rows.delete(name);
        rows.set(name, fate);
      });
    }
    return { rows, tables: [...this.#whole] };
  }

  /** Texts as those of arrays, quoted where they have to be. */
  async #arrays(texts: readonly (readonly (string | null)[])[]): Promise<readonly string[]> {
    const { rows } = await this.#client.query<{ key: string }>(
      `SELECT ARRAY(SELECT jsonb_array_elements_text(each))::text AS key
         FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY list (each, n) ORDER BY n`,
      [JSON.stringify(texts)],
    );
    return rows.map(({ key }) => key);
  }

  /** A row is named by its primary key: it must be what the log names it by. */
  async #learn(table: DescribedTable): Promise<void> {
    if (this.#byTable.has(table)) return;
    const { schema, name, columns, identity } = table.relation;
    const { rows } = await this.#client.query<{ names: string[] }>(PRIMARY, [
      `${quote(schema)}.${quote(name)}`,
    ]);
    const { names } = rows[0]!;
    const key = names.map((each) => columns.findIndex((column) => column.name === each));
    const keys = columns.filter((column) => column.key).length;
    const isNamed = key.every((column) => columns[column]?.key === true) && keys === key.length;
    if (key.length === 0 || key.includes(-1) || (identity !== 'full' && !isNamed))
      this.#whole.add(table.name);
    this.#byTable.set(table, { key, rows: new Map() });
  }

  #touch(table: DescribedTable, message: Uint8Array): void {
    if (this.#whole.has(table.name)) return;
    const row = this.#row;
    row.read(message, 0, message.length);
    if (row.old !== 0) this.#put(table, row.before, 'gone');
    if (row.tag !== DELETE) this.#put(table, row.after, 'there');
  }

  #put(table: DescribedTable, tuple: Tuple, fate: Touch['fate']): void {
    const { key, rows } = this.#byTable.get(table)!;
    const isTold = key.every(
      (column) => column < tuple.count && ![NULL, UNCHANGED].includes(tuple.kinds[column]!),
    );
    if (!isTold || this.#count >= MAX_ROWS) {
      this.#whole.add(table.name);
      return;
    }
    const id = keyOf(this.#row.bytes, tuple, key);
    if (!rows.delete(id)) this.#count += 1;
    rows.set(id, { values: key.map((column) => valueAt(this.#row.bytes, tuple, column)), fate });
  }
}
