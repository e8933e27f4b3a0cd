import type pg from 'pg';
import { type GroupOptions, groupSites } from '#lib/client/group-sites.ts';
import { fateOf, LeaderClient } from '#lib/client/leader-client.ts';
import { inTransaction, type PostgresSession, TransactionFailure } from '#lib/client/postgres-transaction.ts';
import { isFailure } from '#lib/domain/errors.ts';

/** How to log in, as `pg` takes it; `host` is what DNS names if absent. A `password` function may ask for an IAM token. */
export type PostgresLogin = {
  readonly host?: string;
  readonly port?: number;
  readonly database?: string;
  readonly user?: string;
  readonly password?: string | (() => string | Promise<string>);
  readonly ssl?: boolean | object;
  /** Sessions at a time in each Region, at the most; 10 if absent. */
  readonly max?: number;
};

/** How long a session may take to open, ms. */
const CONNECT_MS = 1_000;

/** Transactions at whichever Region leads. */
export type PostgresLeader = {
  /**
   * Runs `work` in a transaction, which ends within a second. It may run more than once: a transaction that was certainly not
   * made, as after a conflict, a lost session or at a Region that leads no longer, is made again, up to 30 s.
   *
   * @param options `idempotent`: to make it twice is as good as once, so one of unknown outcome is made again, too. `writes`: how
   * many rows it writes at the most, where writes are counted; 1 if absent.
   *
   * Throws WRITE_UNKNOWN if its COMMIT was sent and not answered, and otherwise, with nothing written: NOT_LEADER or
   * REGION_UNREACHABLE, the server's own error, or that of `work`.
   */
  transaction<T>(
    work: (session: PostgresSession) => Promise<T>,
    options?: { readonly idempotent?: boolean; readonly writes?: number },
  ): Promise<T>;
  /** Closes all sessions. */
  end(): Promise<void>;
};

/**
 * A client of a group's PostgreSQL database:
 *
 *     const bank = await connectPostgresLeader({ group: 'bank', name: 'bank.example.com', ttlSeconds: 5, login });
 *     await bank.transaction((session) => session.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [7]));
 *
 * @param options as those of `connectLeader`; `login` may depend on the Region.
 *
 * Throws CONFIG_INVALID. A transaction throws DNS_TARGET_UNKNOWN where DNS names something that is none of the endpoints.
 */
export async function connectPostgresLeader(
  options: GroupOptions & { readonly login: PostgresLogin | ((region: string) => PostgresLogin) },
): Promise<PostgresLeader> {
  const { login, ...group } = options;
  const { openLease, regionOf, ...sites } = groupSites(group);
  const { default: driver } = await import('pg');
  const pools: pg.Pool[] = [];
  const client = new LeaderClient<pg.Pool>({
    ...sites,
    fateOf: (error) => (error instanceof TransactionFailure ? error.fate : fateOf(error)),
    open: (target) => {
      const region = regionOf(target);
      const pool = new driver.Pool({
        host: target,
        connectionTimeoutMillis: CONNECT_MS,
        keepAlive: true,
        ...(typeof login === 'function' ? login(region) : login),
      } as pg.PoolConfig);
      // A session that is lost shows it to whoever asks next.
      pool.on('error', () => {});
      pools.push(pool);
      return { handle: pool, lease: openLease(region).lease };
    },
  });
  return {
    async transaction(work, { idempotent = false, writes = 1 } = {}) {
      try {
        return await client.write((pool, signal) => inTransaction(pool, signal, work), {
          idempotent,
          writes,
        });
      } catch (error) {
        throw causeOf(error);
      }
    },
    end: async () => {
      await Promise.all(pools.map((pool) => pool.end()));
    },
  };
}

/** What went wrong, for who asked for the transaction. */
function causeOf(error: unknown): unknown {
  if (error instanceof TransactionFailure) return error.cause;
  if (isFailure(error, 'WRITE_UNKNOWN') && error.cause instanceof TransactionFailure) {
    error.cause = error.cause.cause;
  }
  return error;
}
