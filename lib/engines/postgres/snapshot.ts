import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseWal, walText } from '#lib/engines/postgres/captured-change.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { copyAcross } from '#lib/engines/postgres/copy-across.ts';
import { OWN_SCHEMA, PUBLISHED_CLASS } from '#lib/engines/postgres/own-names.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { quote, tableName } from '#lib/engines/postgres/quote.ts';
import { binaryFit } from '#lib/engines/postgres/slot-session.ts';
import type { SnapshotProgress } from '#lib/ports/control.ts';

/*
 * A table is copied as it was at one exact position of the leader's log. A SHARE lock, held for the moment that it takes
 * to begin a REPEATABLE READ transaction beside it, waits until whoever has written to the table has ended, and lets
 * nobody begin to: so the copy has every transaction that committed before the position, and none that committed after.
 * From the log, a table's changes are applied that committed at its position or after.
 */

/** How long the lock is waited for at a time: writers that come meanwhile wait as well. */
const LOCK_TIMEOUT_MS = 200;
const LOCK_TRIES = 150;

/** Where each table stands, by name: the leader's WAL position that its copy is of. */
export type Copied = Readonly<Record<string, string>>;

export function copiedOf({ cursor }: Pick<SnapshotProgress, 'cursor'>): Copied {
  return cursor === undefined ? {} : (JSON.parse(cursor) as Copied);
}

/** The position after which every table is as the log says. */
export function settledAt(copied: Copied): bigint {
  let last = 0n;
  for (const text of Object.values(copied)) {
    const position = parseWal(text);
    if (position > last) last = position;
  }
  return last;
}

export type Published = {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly string[];
};

/** The tables that are published, but for Understudy's own, with the columns that travel. */
export async function publishedTables(client: pg.Client, publication: string): Promise<readonly Published[]> {
  const { rows } = await client.query<Omit<Published, 'oid'> & { readonly oid: string }>(
    `SELECT c.oid::bigint AS oid, p.schemaname AS schema, p.tablename AS name, coalesce(p.attnames::text[], '{}') AS columns
       FROM pg_publication_tables p ${PUBLISHED_CLASS}
      WHERE p.pubname = $1 AND p.schemaname <> $2 ORDER BY 1, 2`,
    [publication, OWN_SCHEMA],
  );
  return rows.map((row) => ({ ...row, oid: Number(row.oid) }));
}

/** Rows that are published, by the server's own estimate. */
export async function estimateRows(client: pg.Client, publication: string): Promise<number> {
  const { rows } = await client.query<{ rows: string }>(
    `SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS rows FROM pg_publication_tables p
       ${PUBLISHED_CLASS}
      WHERE p.pubname = $1 AND p.schemaname <> $2`,
    [publication, OWN_SCHEMA],
  );
  return Number(rows[0]!.rows);
}

/**
 * Copies the first table that is not copied yet, in the open transaction of `to`; the progress after it. Once all are
 * copied, lets the leader's log go on beyond the last position, so that an idle leader settles too.
 */
export async function copyTable(
  deps: { readonly leader: Connect; readonly publication: string },
  to: pg.Client,
  progress: SnapshotProgress,
): Promise<SnapshotProgress> {
  const copied = copiedOf(progress);
  const client = await deps.leader({ applicationName: 'understudy snapshot' });
  try {
    const tables = await publishedTables(client, deps.publication);
    const next = tables.find((table) => copied[tableName(table)] === undefined);
    if (next === undefined) {
      await client.query(`SELECT pg_logical_emit_message(true, 'understudy', 'copied')`);
      return { ...progress, phase: 'settle' };
    }
    const { fit } = await binaryFit(client, deps.publication);
    const sql = `${quote(next.schema)}.${quote(next.name)}`;
    const position = await beginAt(deps.leader, client, [sql]);
    const columns = next.columns.map(quote).join(', ');
    // Not truncated: a table that others refer to can't be, even if all of them are empty.
    await to.query(`DELETE FROM ${sql}`);
    const select = columns === '' ? `SELECT FROM ${sql}` : `SELECT ${columns} FROM ${sql}`;
    const format = fit ? 'binary' : 'text';
    const rows = await copyAcross(client, select, to, columns === '' ? sql : `${sql} (${columns})`, format);
    await client.query('COMMIT');
    return {
      ...progress,
      cursor: JSON.stringify({ ...copied, [tableName(next)]: walText(position) }),
      rowsCopied: progress.rowsCopied + rows,
    };
  } finally {
    await client.end();
  }
}

/** Begins a transaction that sees tables exactly as they are at the position returned. */
export async function beginAt(
  leader: Connect,
  client: pg.Client,
  tables: readonly string[],
): Promise<bigint> {
  const sql = tables.join(', ');
  const locker = await leader({ applicationName: 'understudy snapshot' });
  try {
    for (let tries = 1; ; tries++) {
      try {
        await locker.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
        if (tables.length > 0) await locker.query(`LOCK TABLE ${sql} IN SHARE MODE`);
        break;
      } catch (error) {
        await locker.query('ROLLBACK');
        if (sqlState(error) !== '55P03') throw error;
        if (tries === LOCK_TRIES) throw tableBusy(sql, error);
      }
    }
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const { rows } = await client.query<{ at: string }>('SELECT pg_current_wal_insert_lsn() AS at');
    return parseWal(rows[0]!.at);
  } finally {
    // The lock goes with its connection.
    await locker.end();
  }
}

function tableBusy(sql: string, cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_FAILED',
    `table ${sql} at the leader is never without a transaction that has written to it`,
    'It is tried again; end the long transaction that writes to it, or wait for it.',
    { cause },
  );
}
