import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { copyIn } from '#lib/engines/postgres/copy-in.ts';
import { diagnosePostgres } from '#lib/engines/postgres/doctor.ts';
import { postgresFacts } from '#lib/engines/postgres/doctor-facts.ts';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { readSqlFile, type SqlStep } from '#lib/local/load/read-sql-file.ts';
import { malformed, shown } from '#lib/local/load/refusals.ts';

/** What a file of SQL holds: statements that are no COPY of rows, and the rows of those that are. */
export type SqlPlan = { readonly statements: number; readonly rows: number };

/** Reads the whole file once: what could not be sent to a server ends here, before anything is started. Throws as `readSqlFile` does. */
export async function planSql(path: string): Promise<SqlPlan> {
  let [statements, rows] = [0, 0];
  for await (const step of readSqlFile(path)) {
    if (step.kind === 'rows') rows += step.rows;
    else statements += 1;
  }
  return { statements, rows };
}

/**
 * Runs a file of SQL in a database, in a session of its own, to the first statement that fails. Throws LOAD_STATEMENT_FAILED with
 * file, line and statement, and what `readSqlFile` throws.
 */
export async function loadSql(client: pg.Client, path: string): Promise<void> {
  for await (const step of readSqlFile(path)) {
    try {
      if (step.kind === 'rows') await copyIn(client, step.sql, step.data);
      else await client.query(step.sql);
    } catch (error) {
      throw failed(path, step, error);
    }
  }
  const { rows } = await client.query('SELECT pg_current_xact_id_if_assigned() IS NOT NULL AS open');
  if (rows[0].open)
    throw malformed(path, 'its last transaction is not committed', 'End the file with COMMIT;');
}

/** Throws LOAD_KEY_MISSING where a table has nothing that names a row: its updates could not be replicated. */
export async function refuseKeyless(client: pg.Client): Promise<void> {
  const found = diagnosePostgres(await postgresFacts(client)).find(
    ({ check, verdict }) => check === 'replica identity' && verdict === 'failed',
  );
  if (found !== undefined)
    throw new UnderstudyError('LOAD_KEY_MISSING', found.what, `Add to the file: ${found.fix}`);
}

/** Takes the rows out of all tables of users, as they are copied from elsewhere. */
export async function emptyTables(client: pg.Client): Promise<void> {
  await client.query(`SET session_replication_role = replica`);
  await client.query(`DO $$ DECLARE tables text; BEGIN
    SELECT string_agg(format('%I.%I', n.nspname, c.relname), ', ') INTO tables FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND ${isOfUsers('n.nspname')};
    EXECUTE 'TRUNCATE ' || tables;
  END $$`);
}

function failed(path: string, step: SqlStep, error: unknown): UnderstudyError {
  const state = sqlState(error);
  const { message } = error as Error;
  const what = `${path}, line ${lineOf(step, error)}: ${message}${state === undefined ? '' : ` (${state})`}, in: ${shown(step.sql.replace(/\s+/g, ' '))}`;
  return new UnderstudyError('LOAD_STATEMENT_FAILED', what, nextOf(state, message), { cause: error });
}

/** The line of the file that a server complains of. */
function lineOf({ kind, line, sql }: SqlStep, error: unknown): number {
  const { position, where } = error as { readonly position?: string; readonly where?: string };
  if (kind === 'rows') return line + Number(/^COPY .*?, line (\d+)/.exec(where ?? '')?.[1] ?? 1) - 1;
  // The server counts characters from 1.
  return line + [...sql].slice(0, Number(position ?? 1) - 1).filter((each) => each === '\n').length;
}

function nextOf(state: string | undefined, message: string): string {
  if (/^role ".*" does not exist$/.test(message)) return 'Dump it with pg_dump --no-owner --no-privileges.';
  if (/^extension ".*" is not available$/.test(message))
    return 'Leave the extension out: the servers of a drill have none.';
  if (state === '42P06' || state === '42P07')
    return 'Give a file for an empty database: what is there is made by the drill.';
  return 'Correct the statement and start again: nothing is left of this try.';
}
