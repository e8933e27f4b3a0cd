import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { isLockWait, postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';

/** How many sessions are named at most, those with the strongest locks. */
const NAMED = 3;

/* Of a session, never its query: rows may stand in it. VACUUM and ANALYZE hold up nobody who writes. */
const HOLDERS = `
  SELECT * FROM (SELECT DISTINCT ON (l.pid) l.pid, l.mode, l.relation::regclass::text AS "table", a.usename AS role,
         nullif(a.application_name, '') AS application, a.state,
         extract(epoch FROM clock_timestamp() - a.xact_start)::int AS seconds,
         array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock', 'RowExclusiveLock',
           'RowShareLock', 'AccessShareLock'], l.mode) AS rank
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
   WHERE l.granted AND l.locktype = 'relation' AND l.pid <> pg_backend_pid() AND l.mode <> 'ShareUpdateExclusiveLock'
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND (l.relation = ANY ($1::bigint[]::oid[]) OR l.relation = to_regclass('understudy.checkpoint'))
   ORDER BY l.pid, rank) holder ORDER BY rank, pid`;

type Holder = {
  readonly pid: number;
  readonly mode: string;
  readonly table: string;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  readonly seconds: number | null;
};

/**
 * Names a failure of an applier's, as `postgresFailure` does; where it has waited for a lock, with the sessions that hold it.
 *
 * @param tables OIDs of what it was writing to, beside its checkpoint.
 */
export async function applierFailure(
  connect: Connect,
  error: unknown,
  doing: string,
  tables: readonly number[] = [],
): Promise<UnderstudyError> {
  const failure = postgresFailure(error, doing);
  const holders = isLockWait(error) ? await holdersOf(connect, tables).catch(() => []) : [];
  if (holders.length === 0) return failure;
  const { pid } = holders[0]!;
  return new UnderstudyError(
    failure.code,
    `PostgreSQL did not ${doing}: the lock was not given up by ${holders.map(told).join(', nor by ')}`,
    `It is tried again, and goes on once the lock is gone. What that session does: SELECT query FROM pg_stat_activity WHERE pid = ${pid}; to end it: SELECT pg_terminate_backend(${pid});`,
    { cause: error },
  );
}

async function holdersOf(connect: Connect, tables: readonly number[]): Promise<readonly Holder[]> {
  const client = await connect({ applicationName: 'understudy' });
  try {
    const { rows } = await client.query<Holder>(HOLDERS, [tables]);
    const writers = rows.filter(({ mode }) => mode !== 'AccessShareLock');
    // Readers are in the way of nothing but TRUNCATE.
    return (writers.length > 0 ? writers : rows).slice(0, NAMED);
  } finally {
    await client.end();
  }
}

function told({ application, mode, pid, role, seconds, state, table }: Holder): string {
  const rest = [
    role === null ? [] : `role ${role}`,
    application ?? [],
    state ?? [],
    seconds === null ? [] : `in a transaction for ${seconds} s`,
  ].flat();
  return `session ${pid}${rest.length === 0 ? '' : ` (${rest.join(', ')})`}, which has ${mode} on ${table}`;
}
