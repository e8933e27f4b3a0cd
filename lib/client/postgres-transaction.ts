import type pg from 'pg';
import type { TryFate } from '#lib/client/leader-client.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';

/** A session inside of a transaction, which begins and ends by itself. */
export type PostgresSession = {
  query<R = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ readonly rows: R[]; readonly rowCount: number | null }>;
};

/** A transaction that has come to nothing, and whether anybody knows so. `cause` is for who asked for it. */
export class TransactionFailure extends Error {
  readonly fate: TryFate;

  constructor(fate: TryFate, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.name = 'TransactionFailure';
    this.fate = fate;
  }
}

/** How long the server lets a statement, or a pause between two, take: what nobody waits for any more is to hold no locks. */
const LIMIT_MS = 1_000;
const BEGIN = `BEGIN; SET LOCAL statement_timeout = ${LIMIT_MS}; SET LOCAL idle_in_transaction_session_timeout = ${LIMIT_MS}`;

/**
 * Runs `work` in a transaction on a session of `pool`. Until its COMMIT is sent, whatever happens, nothing has been written;
 * from then on, nobody knows before the server has answered.
 *
 * Throws TransactionFailure.
 */
export async function inTransaction<T>(
  pool: Pick<pg.Pool, 'connect'>,
  signal: AbortSignal,
  work: (session: PostgresSession) => Promise<T>,
): Promise<T> {
  const session = await pool.connect().catch((error: unknown) => {
    throw new TransactionFailure(fateOfConnect(error), error);
  });
  let state: 'open' | 'committing' | 'over' | 'lost' = 'open';
  const lose = () => {
    if (state === 'open') state = 'lost';
  };
  session.on('error', lose);
  session.on('end', lose);
  const { promise: late, reject } = Promise.withResolvers<never>();
  const giveUp = () => {
    reject(new TransactionFailure(state === 'committing' ? 'unknown' : 'refused', tooLate()));
    state = 'over';
  };
  signal.addEventListener('abort', giveUp, { once: true });
  late.catch(() => {});

  const run = async (): Promise<T> => {
    try {
      if (signal.aborted) throw tooLate();
      await session.query(BEGIN);
      const result = await work(session as unknown as PostgresSession);
      if (state !== 'open') throw tooLate();
      state = 'committing';
      // A transaction that has failed is rolled back by it, and that is no error to the server.
      if ((await session.query('COMMIT')).command !== 'COMMIT') throw rolledBack();
      state = 'open';
      return result;
    } catch (error) {
      const fate = fateOfFailure(error, state);
      if (fate === 'unknown') state = 'over';
      else if (state !== 'over' && state !== 'lost') {
        await session.query('ROLLBACK').then(
          () => {
            state = 'open';
          },
          () => {
            state = 'over';
          },
        );
      }
      throw new TransactionFailure(fate, error);
    }
  };
  try {
    return await Promise.race([run(), late]);
  } finally {
    signal.removeEventListener('abort', giveUp);
    session.off('error', lose);
    session.off('end', lose);
    // What is closed before its COMMIT is sent, the server rolls back.
    session.release(state !== 'open');
  }
}

/**
 * SQLSTATEs of what may go through later, or where another leads: conflicts and deadlocks (40), too few resources (53), a
 * server that ends or starts (57P), a time-out (57014, 55P03, 25P03), a connection that is lost (08), and a database that is
 * fenced or whose guard finds no lease (25006).
 */
const LATER = /^(40|53|57P|57014|55P03|25P03|08|25006)/;
/** After one of them, a COMMIT may have been made. */
const LEFT_OPEN = /^(08|57P)/;

function fateOfFailure(error: unknown, state: 'open' | 'committing' | 'over' | 'lost'): TryFate {
  const code = sqlState(error);
  if (state === 'committing') {
    if (error instanceof UnderstudyError) return 'failed';
    if (code === undefined || LEFT_OPEN.test(code)) return 'unknown';
  }
  if (code !== undefined) return LATER.test(code) ? 'refused' : 'failed';
  // Of the session, which is gone, or of the work itself.
  return state === 'open' ? 'failed' : 'refused';
}

/** A session that was never opened has written nothing. Who is not let in by a fence may be where another leads. */
function fateOfConnect(error: unknown): TryFate {
  const code = sqlState(error);
  if (code !== undefined) return LATER.test(code) || code === '42501' ? 'refused' : 'failed';
  return /CERT|TLS|SSL|SIGNED/.test(String((error as { code?: unknown } | null)?.code))
    ? 'failed'
    : 'refused';
}

function tooLate(): UnderstudyError {
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    'the transaction did not end in time',
    'Make it shorter: a lease covers a write of a second; or see whether the database answers.',
  );
}

function rolledBack(): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_FAILED',
    'the transaction was rolled back: one of its statements had failed',
    'Let the error of a statement through, or use a savepoint.',
  );
}
