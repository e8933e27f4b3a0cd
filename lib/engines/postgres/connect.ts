import type pg from 'pg';
import { OWN_WRITES } from '#lib/engines/postgres/own-names.ts';
import { isLoginRefused, postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import type { Logins } from '#lib/ports/logins.ts';

/** Opens a connection of its own for each call. Throws POSTGRES_UNREACHABLE, POSTGRES_REFUSED or LOGIN_UNREADABLE. */
export type Connect = (options?: {
  /** For a walsender: it takes replication commands. */
  readonly replication?: boolean;
  readonly applicationName?: string;
}) => Promise<pg.Client>;

/** How values look as text, and what may take how long, must not depend on a server's or a role's settings; fence and guard are for others. */
const SESSION = [
  `${OWN_WRITES}=on`,
  'default_transaction_read_only=off',
  'datestyle=ISO',
  'intervalstyle=postgres',
  'extra_float_digits=3',
  'bytea_output=hex',
  // A role's are for its other users: whoever waits here says for whom, and tries again.
  'statement_timeout=0',
  'lock_timeout=20s',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

type ConnectOptions = NonNullable<Parameters<Connect>[0]>;

/** @param logins who knows how to be let in, where the configuration does not say it. */
export function connector(config: pg.ClientConfig, logins?: Logins): Connect {
  return async (options = {}) => {
    if (logins === undefined) return open(config, options);
    const known = await logins.current();
    try {
      return await open({ ...config, ...known }, options);
    } catch (error) {
      if (!isLoginRefused(error)) throw error;
      const renewed = await logins.current(known);
      if (renewed.password === known.password && renewed.user === known.user) throw error;
      return open({ ...config, ...renewed }, options);
    }
  };
}

async function open(
  config: pg.ClientConfig,
  { replication = false, applicationName = 'understudy' }: ConnectOptions,
): Promise<pg.Client> {
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
}
