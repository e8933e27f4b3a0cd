import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { parseWal } from '#lib/engines/postgres/captured-change.ts';
import { OWN_SCHEMA, PUBLISHED_CLASS } from '#lib/engines/postgres/own-names.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import type { SnapshotProgress } from '#lib/ports/control.ts';

/*
 * A table is copied as it was at one exact position of the leader's log. A SHARE lock, held for the moment that it takes
 * to begin a REPEATABLE READ transaction beside it, waits until whoever has written to the table has ended, and lets
 * nobody begin to: so the copy has every transaction that committed before the position, and none that committed after.
 * From the log, a table's changes are applied that committed at its position or after.
 */

/** How its sessions at the leader call themselves. */
export const SNAPSHOT_NAME = 'understudy snapshot';

/** How long the lock is waited for at a time: writers that come meanwhile wait as well. */
const LOCK_TIMEOUT_MS = 200;
const LOCK_TRIES = 150;
/** SQLSTATE of a lock that was not had in time. */
const LOCK_NOT_AVAILABLE = '55P03';

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
 * Begins a transaction of `client` that sees tables exactly as they are at the position returned.
 *
 * @param locker of the same database, with nothing under way; it lets go of its lock, which nobody waits for.
 */
export async function beginAt(
  locker: pg.Client,
  client: pg.Client,
  tables: readonly string[],
): Promise<bigint> {
  const sql = tables.join(', ');
  const lockIn = (mode: string) =>
    `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; ${tables.length > 0 ? `LOCK TABLE ${sql} IN ${mode} MODE;` : ''}`;
  for (let tries = 1; ; tries++) {
    try {
      await locker.query(`BEGIN; ${lockIn('SHARE')}`);
      // What is rewritten later would look empty. A lock takes no snapshot: the statement after it does.
      const results = await client.query(
        `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ${lockIn('ACCESS SHARE')} SELECT pg_current_wal_insert_lsn() AS at`,
      );
      const { rows } = (results as unknown as readonly pg.QueryResult<{ at: string }>[]).at(-1)!;
      return parseWal(rows[0]!.at);
    } catch (error) {
      // Somebody who waits for the one lock may stand before the other.
      await client.query('ROLLBACK');
      if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error;
      if (tries === LOCK_TRIES) throw tableBusy(sql, error);
    } finally {
      // One that is lost has no lock any more.
      locker.query('ROLLBACK').catch(() => {});
    }
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
