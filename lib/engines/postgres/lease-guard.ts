import type pg from 'pg';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { GuardMode } from '#lib/domain/topology.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import {
  GUARD_INSTALLED,
  GUARDED_TABLES,
  guardCommits,
  guardStatements,
  MAKE_GUARD,
  REMOVE_CHECKS,
  REMOVE_GUARD,
  REVOKE,
} from '#lib/engines/postgres/lease-guard-sql.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';

/** A table that somebody holds must not make its writers queue behind a trigger that is made, ms. */
const LOCK_MS = 200;

/** A table, as SQL, and what is checked of it: statements that write, TRUNCATE, commits. */
export type GuardedTable = {
  readonly name: string;
  /** False for one whose rows are in its partitions. */
  readonly holdsRows: boolean;
  readonly statements: boolean;
  readonly truncate: boolean;
  readonly commits: boolean;
};

/** All tables that a guard is for, by reading alone; undefined if the database has none. */
export async function guardedTables(client: pg.Client): Promise<readonly GuardedTable[] | undefined> {
  const { rows } = await client.query<{ installed: boolean }>(GUARD_INSTALLED);
  if (!rows[0]!.installed) return undefined;
  return (await client.query<GuardedTable>(GUARDED_TABLES)).rows;
}

/** Is a table guarded otherwise than a guard of this mode would have it? */
export function lacksGuard(table: GuardedTable, mode: 'on' | 'strict'): boolean {
  if (mode === 'on') return !table.statements;
  return !table.truncate || table.statements || (table.holdsRows && !table.commits);
}

/** A table that could not be guarded, and why. */
export type Unguarded = { readonly table: string; readonly why: string };

/**
 * Makes the guard of a database what `mode` wants it to be, on tables that are new, too. Returns those that it could not
 * get at, as somebody holds them or a right is missing: the next call tries again. Throws what the server says if the guard
 * itself can be neither made nor removed.
 */
export async function keepGuard(client: pg.Client, mode: GuardMode): Promise<readonly Unguarded[]> {
  const before = await guardedTables(client);
  await client.query(`SET lock_timeout = ${LOCK_MS}`);
  try {
    if (mode === 'off') {
      if (before !== undefined) for (const sql of REMOVE_GUARD) await client.query(sql);
      return [];
    }
    if (before === undefined) await client.query(MAKE_GUARD);
    const tables = before ?? (await guardedTables(client))!;
    const failed: Unguarded[] = [];
    const make = async (table: string, statements: readonly string[]) => {
      try {
        for (const sql of statements) await client.query(sql);
      } catch (error) {
        failed.push({ table, why: error instanceof Error ? error.message : String(error) });
      }
    };
    for (const table of tables)
      if (lacksGuard(table, mode)) await make(table.name, statementsFor(table, mode));
    const checked = mode === 'on' ? tables.find(({ commits }) => commits) : undefined;
    // All in one transaction, or none: until it is through, commits are checked as before.
    if (checked !== undefined && failed.length === 0)
      await make(checked.name, [`${REMOVE_CHECKS}; ${MAKE_GUARD}`]);
    return failed;
  } finally {
    await client.query('RESET lock_timeout');
  }
}

/** The new check first: a table is never without one while the mode changes. */
function statementsFor(
  { name, holdsRows, statements, truncate, commits }: GuardedTable,
  mode: 'on' | 'strict',
): readonly string[] {
  if (mode === 'on') return [guardStatements(name, 'every write')];
  return [
    ...(holdsRows && !commits ? [guardCommits(name)] : []),
    ...(statements || !truncate ? [guardStatements(name, 'truncate')] : []),
  ];
}

/** Takes the lease from a database that guards itself: only a leader of this epoch or a later one renews it. */
export async function revokeLease(client: pg.Client, epoch: Epoch): Promise<void> {
  if ((await guardedTables(client)) !== undefined) await client.query(REVOKE, [epoch]);
}

/** Makes the guard of a database what `mode` wants. Throws POSTGRES_UNREACHABLE, POSTGRES_REFUSED or POSTGRES_FAILED. */
export async function guard(connect: Connect, mode: GuardMode): Promise<readonly Unguarded[]> {
  const client = await connect({ applicationName: 'understudy guard' });
  try {
    return await keepGuard(client, mode);
  } catch (error) {
    throw postgresFailure(error, mode === 'off' ? 'give up its lease guard' : 'get its lease guard');
  } finally {
    await client.end();
  }
}
