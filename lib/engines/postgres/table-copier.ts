import type pg from 'pg';
import { walText } from '#lib/engines/postgres/captured-change.ts';
import { type CopyDeps, copyParts, partsOf } from '#lib/engines/postgres/copy-parts.ts';
import { MESSAGE_PREFIX, PUBLISHED_CLASS } from '#lib/engines/postgres/own-names.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { quote, tableName } from '#lib/engines/postgres/quote.ts';
import { portableTypes } from '#lib/engines/postgres/slot-session.ts';
import {
  beginAt,
  copiedOf,
  type Published,
  publishedTables,
  SNAPSHOT_NAME,
} from '#lib/engines/postgres/snapshot.ts';
import type { SnapshotProgress } from '#lib/ports/control.ts';

type CopierDeps = CopyDeps & { readonly publication: string };

/*
 * Of a table as the leader's transaction sees it: what of it travels, and how many pages there are to share out. Rows of
 * other access methods, of foreign tables and of partitions lie nowhere that the table's own pages tell of.
 */
const TABLE = `
  SELECT a.attname AS name, a.atttypid::bigint AS type,
         CASE WHEN c.relkind = 'r' AND m.amname = 'heap'
              THEN pg_relation_size(c.oid) / current_setting('block_size')::int ELSE 0 END AS pages
    FROM pg_publication_tables p ${PUBLISHED_CLASS} LEFT JOIN pg_am m ON m.oid = c.relam
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = ANY (p.attnames)
   WHERE p.pubname = $1 AND p.schemaname = $2 AND p.tablename = $3 ORDER BY a.attnum`;

/** SQLSTATE of a table that is not there. */
const NO_TABLE = '42P01';

type TableRow = {
  readonly name: string | null;
  readonly type: string | null;
  readonly pages: string;
};

/** Copies the leader's tables one after the other, on the same connections: a far leader takes long to let somebody in. */
export class TableCopier {
  readonly #deps: CopierDeps;
  readonly #from: pg.Client;
  readonly #locker: pg.Client;
  readonly #portable: ReadonlySet<number>;
  /** As last listed: those that are copied are looked over. */
  #tables: readonly Published[] = [];

  private constructor(deps: CopierDeps, from: pg.Client, locker: pg.Client, portable: ReadonlySet<number>) {
    this.#deps = deps;
    this.#from = from;
    this.#locker = locker;
    this.#portable = portable;
  }

  static async open(deps: CopierDeps): Promise<TableCopier> {
    const from = await deps.leader({ applicationName: SNAPSHOT_NAME });
    try {
      const portable = await portableTypes(from);
      const locker = await deps.leader({ applicationName: SNAPSHOT_NAME });
      return new TableCopier(deps, from, locker, portable);
    } catch (error) {
      await from.end();
      throw error;
    }
  }

  /**
   * Copies the first table that is not copied yet, in the open transaction of `to` and, if it is large, in those of helpers;
   * the progress after it, or `lost` if the lease is. Once all are copied, lets the leader's log go on beyond the last
   * position, so that an idle leader settles too. One that is gone, or not published any more, is left out. After an error,
   * only `close` is left to do.
   *
   * @param commit commits what `to` has done if the lease still holds, and begins anew; false if it does not.
   */
  async copyNext(
    to: pg.Client,
    progress: SnapshotProgress,
    commit: () => Promise<boolean>,
  ): Promise<SnapshotProgress | 'lost'> {
    const next = await this.#next(progress);
    if (next === undefined) {
      await this.#from.query(`SELECT pg_logical_emit_message(true, '${MESSAGE_PREFIX}', 'copied')`);
      return { ...progress, phase: 'settle' };
    }
    const sql = `${quote(next.schema)}.${quote(next.name)}`;
    const position = await this.#beginAt(sql);
    if (position === undefined) return progress;
    const { rows: found } = await this.#from.query<TableRow>(TABLE, [
      this.#deps.publication,
      next.schema,
      next.name,
    ]);
    if (found.length === 0) {
      await this.#from.query('COMMIT');
      this.#tables = [];
      return progress;
    }
    const columns = found.flatMap(({ name }) => (name === null ? [] : quote(name))).join(', ');
    const isPortable = found.every(({ type }) => type === null || this.#portable.has(Number(type)));
    const parts = partsOf(Number(found[0]!.pages));
    // Not truncated: a table that others refer to can't be, even if all of them are empty.
    await to.query(`DELETE FROM ${sql}`);
    // A helper would wait for a key that is about to go.
    if (parts.length > 1 && !(await commit())) return 'lost';
    const copy = {
      select: `SELECT ${columns} FROM ${sql}`,
      into: columns === '' ? sql : `${sql} (${columns})`,
      format: isPortable ? 'binary' : 'text',
    } as const;
    const rows = await copyParts(this.#deps, { from: this.#from, to }, copy, parts);
    if (rows === 'lost') return 'lost';
    await this.#from.query('COMMIT');
    return {
      ...progress,
      cursor: JSON.stringify({ ...copiedOf(progress), [tableName(next)]: walText(position) }),
      rowsCopied: progress.rowsCopied + rows,
    };
  }

  /** Undefined if the table is gone since the tables were listed. */
  async #beginAt(sql: string): Promise<bigint | undefined> {
    try {
      return await beginAt(this.#locker, this.#from, [sql]);
    } catch (error) {
      if (sqlState(error) !== NO_TABLE) throw error;
      this.#tables = [];
      return undefined;
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#from.end(), this.#locker.end()]);
  }

  async #next(progress: SnapshotProgress): Promise<Published | undefined> {
    const copied = copiedOf(progress);
    const left = () => this.#tables.find((table) => copied[tableName(table)] === undefined);
    const known = left();
    if (known !== undefined) return known;
    this.#tables = await publishedTables(this.#from, this.#deps.publication);
    return left();
  }
}
