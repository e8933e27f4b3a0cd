import type pg from 'pg';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import { literal, quote } from '#lib/engines/postgres/quote.ts';

/** How a database stands: the newest leader that has had a say, and what it took to shut users out while they are. */
export type FenceState = { readonly epoch: Epoch; readonly closed?: Closed };

/** What was there before, to be put back. A grantee without a name is PUBLIC. */
export type Closed = {
  readonly grants: readonly { readonly grantee: string | null; readonly grantable: boolean }[];
  /** The database's own default_transaction_read_only, if it had one. */
  readonly readOnly?: string;
};

/** A row of Understudy's own, which moves with the rights. */
export const FENCE_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.fence (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch bigint NOT NULL,
    closed jsonb,
    changed_at timestamptz NOT NULL);
  INSERT INTO understudy.fence (epoch, changed_at) VALUES (0, now()) ON CONFLICT DO NOTHING`;

/** Reads the state, and keeps others from changing it until the transaction ends. */
export async function readFence(client: pg.Client): Promise<FenceState> {
  const { rows } = await client.query<{ epoch: string; closed: Closed | null }>(
    'SELECT epoch, closed FROM understudy.fence FOR UPDATE',
  );
  const { epoch, closed } = rows[0]!;
  return { epoch: parseEpoch(Number(epoch)), ...(closed && { closed }) };
}

export async function writeFence(client: pg.Client, state: FenceState): Promise<FenceState> {
  const { epoch, closed } = state;
  await client.query('UPDATE understudy.fence SET epoch = $1, closed = $2, changed_at = clock_timestamp()', [
    epoch,
    closed === undefined ? null : JSON.stringify(closed),
  ]);
  return state;
}

/** Who has the right to connect by a grant that `roles` profit from: their own, those of roles they belong to, PUBLIC's. */
const GRANTS = `
  SELECT r.rolname AS grantee, a.is_grantable AS grantable
    FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
    LEFT JOIN pg_roles r ON r.oid = a.grantee
   WHERE d.datname = current_database() AND a.privilege_type = 'CONNECT' AND r.rolname IS DISTINCT FROM current_user
     AND (a.grantee = 0 OR EXISTS (
       SELECT FROM pg_roles app WHERE app.rolname = ANY ($1) AND pg_has_role(app.oid, a.grantee, 'USAGE')))`;

const READ_ONLY = `
  SELECT substring(s FROM '=(.*)$') AS value
    FROM pg_db_role_setting, unnest(setconfig) AS s
   WHERE setrole = 0 AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
     AND s LIKE 'default_transaction_read_only=%'`;

/** Takes the right to connect from `roles`, and lets new sessions of all others begin read-only. */
export async function closeToUsers(client: pg.Client, roles: readonly string[]): Promise<Closed> {
  const database = await databaseOf(client);
  const before = await client.query<{ value: string }>(READ_ONLY);
  const grants =
    roles.length === 0 ? [] : (await client.query<Closed['grants'][number]>(GRANTS, [roles])).rows;
  // Whoever lowers the fence must be let in, also if it came in by the right of PUBLIC so far.
  if (grants.length > 0) await client.query(`GRANT CONNECT ON DATABASE ${database} TO CURRENT_USER`);
  for (const { grantee } of grants)
    await client.query(`REVOKE CONNECT ON DATABASE ${database} FROM ${nameOf(grantee)}`);
  await client.query(`ALTER DATABASE ${database} SET default_transaction_read_only = on`);
  const readOnly = before.rows[0]?.value;
  return {
    grants: grants.map(({ grantee, grantable }) => ({ grantee, grantable })),
    ...(readOnly !== undefined && { readOnly }),
  };
}

/** Puts back what `closeToUsers` took. A role that is gone by now gets nothing. */
export async function openToUsers(client: pg.Client, { grants, readOnly }: Closed): Promise<void> {
  const database = await databaseOf(client);
  const { rows } = await client.query<{ rolname: string }>('SELECT rolname FROM pg_roles');
  const known = new Set<string | null>([null, ...rows.map(({ rolname }) => rolname)]);
  for (const { grantee, grantable } of grants) {
    if (!known.has(grantee)) continue;
    const option = grantable ? ' WITH GRANT OPTION' : '';
    await client.query(`GRANT CONNECT ON DATABASE ${database} TO ${nameOf(grantee)}${option}`);
  }
  await client.query(
    readOnly === undefined
      ? `ALTER DATABASE ${database} RESET default_transaction_read_only`
      : `ALTER DATABASE ${database} SET default_transaction_read_only = ${literal(readOnly)}`,
  );
}

function nameOf(grantee: string | null): string {
  return grantee === null ? 'PUBLIC' : quote(grantee);
}

async function databaseOf(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT current_database() AS name');
  return quote(rows[0]!.name);
}
