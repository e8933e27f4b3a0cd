import type pg from 'pg';
import { OWN_WRITES } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';

/** Opens a connection of its own for each call. Throws POSTGRES_UNREACHABLE or POSTGRES_REFUSED. */
export type Connect = (options?: {
  /** For a walsender: it takes replication commands. */
  readonly replication?: boolean;
  readonly applicationName?: string;
}) => Promise<pg.Client>;

/** How values look as text must not depend on a server's or a role's settings, and fence and guard are for others. */
const SESSION = [
  `${OWN_WRITES}=on`,
  'default_transaction_read_only=off',
  'datestyle=ISO',
  'intervalstyle=postgres',
  'extra_float_digits=3',
  'bytea_output=hex',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

export function connector(config: pg.ClientConfig): Connect {
  return async ({ replication = false, applicationName = 'understudy' } = {}) => {
    // Loaded by whoever connects: other functions of a group start without it.
    const { default: driver } = await import('pg');
    const client = new driver.Client({
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      ...config,
      options: SESSION,
      client_encoding: 'UTF8',
      application_name: applicationName,
      ...(replication ? { replication: 'database' } : {}),
    });
    // A connection that is lost shows it to whoever asks next.
    client.on('error', () => {});
    try {
      await client.connect();
    } catch (error) {
      throw postgresFailure(error, 'connect');
    }
    return client;
  };
}
