import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { OWN_WRITES } from '#lib/engines/postgres/own-names.ts';
import { isLoginRefused, postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { wireOf } from '#lib/engines/postgres/wire.ts';
import type { Logins } from '#lib/ports/logins.ts';

/** Opens a connection of its own for each call. Throws POSTGRES_UNREACHABLE, POSTGRES_REFUSED, POSTGRES_TOO_OLD or LOGIN_UNREADABLE. */
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
  'idle_in_transaction_session_timeout=0',
  // What is written, and which warnings are heard, goes by neither.
  'default_transaction_isolation=read\\ committed',
  'client_min_messages=notice',
  // Rows that a policy hides from the role are not to be missing without a word.
  'row_security=off',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

/** Oldest major version whose slots can leave out what was applied; and the oldest that knows of transaction_timeout. */
const MIN_VERSION = 16;
const TRANSACTION_TIMEOUT_VERSION = 17;
/** How long a server may take to let in, ms. */
const CONNECT_MS = 10_000;
const PATIENCE = { query_timeout: CONNECT_MS };
const NO_LIMIT = 'SET idle_session_timeout = 0';
const NO_LIMIT_OF_TRANSACTIONS = 'SET transaction_timeout = 0';

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
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    ...config,
    options: SESSION,
    client_encoding: 'UTF8',
    application_name: applicationName,
    ...(replication ? { replication: 'database' } : {}),
  });
  // A connection that is lost shows it to whoever asks next.
  client.on('error', () => {});
  let version = '';
  wireOf(client).on('parameterStatus', ({ parameterName, parameterValue }) => {
    if (parameterName === 'server_version') version = parameterValue;
  });
  try {
    await client.connect();
  } catch (error) {
    throw postgresFailure(error, 'connect');
  }
  try {
    const major = Number.parseInt(version, 10);
    if (major < MIN_VERSION) throw tooOld(version);
    // A server that does not know one would not let in whoever came with it.
    const limits = major < TRANSACTION_TIMEOUT_VERSION ? [NO_LIMIT] : [NO_LIMIT, NO_LIMIT_OF_TRANSACTIONS];
    await client.query({ text: limits.join('; '), ...PATIENCE });
  } catch (error) {
    await client.end();
    throw postgresFailure(error, 'connect');
  }
  return client;
}

function tooOld(version: string): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_TOO_OLD',
    `a slot of PostgreSQL ${version} would send on what was applied`,
    `Upgrade to PostgreSQL ${MIN_VERSION} or later.`,
  );
}
