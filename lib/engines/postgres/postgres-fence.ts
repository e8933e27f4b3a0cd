import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Proof } from '#lib/domain/control/fence.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { closeToUsers, openToUsers, readFence, writeFence } from '#lib/engines/postgres/fence-state.ts';
import { revokeLease } from '#lib/engines/postgres/lease-guard.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';

/** How often sessions that were told to end are looked for, and how long after each other, ms. */
const LOOKS = 40;
const PAUSE_MS = 50;
/** How long a database may take to answer, ms: one that hangs must hold up nobody. */
const ANSWER_MS = 5_000;

/**
 * The fence of a database, by SQL alone. The application's roles lose the right to connect, their sessions are ended,
 * and whoever else begins a session begins it read-only. Its epoch is kept in the database and moves in the transaction
 * that moves the rights, so a call of an earlier epoch that comes late changes nothing.
 */
export class PostgresFence implements EngineFence {
  readonly #connect: Connect;
  readonly #roles: readonly string[];

  /** @param roles as which applications log in. Without any, nobody's sessions are ended, and nothing is proven. */
  constructor(connect: Connect, roles: readonly string[]) {
    this.#connect = connect;
    this.#roles = roles;
  }

  raise(epoch: Epoch): Promise<Proof> {
    return this.#with('be fenced', async (client) => {
      const state = await inTransaction(client, async () => {
        const now = await readFence(client);
        if (now.epoch > epoch || (now.closed !== undefined && now.epoch === epoch)) return now;
        const closed = now.closed ?? (await closeToUsers(client, this.#roles));
        // At once, also in sessions that are not ended: a sequence does not wait for the commit.
        await revokeLease(client, epoch);
        return writeFence(client, { epoch, closed });
      });
      if (state.closed === undefined)
        return unproven(`it takes writes for a leader of epoch ${state.epoch}, which is a later one`);
      return this.#prove(client);
    });
  }

  lower(epoch: Epoch): Promise<'open' | 'fenced'> {
    return this.#with('be opened', (client) =>
      inTransaction(client, async () => {
        const now = await readFence(client);
        if (now.epoch > epoch) return now.closed === undefined ? 'open' : 'fenced';
        if (now.closed !== undefined) await openToUsers(client, now.closed);
        if (now.closed !== undefined || now.epoch < epoch) await writeFence(client, { epoch });
        return 'open';
      }),
    );
  }

  /** By the server's own catalogue: none of the roles may come in, and none is in. */
  async #prove(client: pg.Client): Promise<Proof> {
    const roles = this.#roles;
    if (roles.length === 0)
      return unproven(
        'new sessions begin read-only, but the configuration names no applicationRoles to shut out',
      );
    for (let looks = 0; looks < LOOKS; looks += 1) {
      const { sees, missing, admitted, sessions } = await endSessions(client, roles);
      if (missing.length > 0) return unproven(`it has no role ${missing.join(', ')}`);
      if (admitted.length > 0) return unproven(`role ${admitted.join(', ')} may connect whatever is revoked`);
      if (!sees)
        return unproven("Understudy's role does not see who is on the way in: GRANT pg_read_all_stats");
      if (sessions === 0)
        return {
          proven: true,
          detail: `${roles.join(', ')} may not connect, and no session of theirs is left`,
        };
      await sleep(PAUSE_MS);
    }
    return unproven(`sessions of ${roles.join(', ')} do not end`);
  }

  async #with<T>(doing: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#connect({ applicationName: 'understudy fence' });
    try {
      await client.query(`SET statement_timeout = ${ANSWER_MS}`);
      return await work(client);
    } catch (error) {
      throw postgresFailure(error, doing);
    } finally {
      await client.end();
    }
  }
}

async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  // After a failure the session ends, and what it has begun with it.
  const result = await work();
  await client.query('COMMIT');
  return result;
}

/**
 * Tells the sessions of `roles` to end, and counts those that are there. A session that is on its way in has no role yet:
 * one that began before the rights were revoked may have passed, so it counts, too.
 */
async function endSessions(client: pg.Client, roles: readonly string[]) {
  const { rows } = await client.query<{
    sees: boolean;
    missing: string[];
    admitted: string[];
    sessions: number;
  }>(
    `WITH named AS (SELECT name, r.oid FROM unnest($1::text[]) AS name LEFT JOIN pg_roles r ON r.rolname = name),
          inside AS (
            SELECT a.pid, a.usename FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.usename::text = ANY ($1)
                OR a.usename IS NULL AND a.backend_type = 'client backend'
                   AND a.backend_start <= (SELECT changed_at FROM understudy.fence)),
          ended AS (SELECT pg_terminate_backend(pid) AS told FROM inside WHERE usename IS NOT NULL)
     SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS sees,
            (SELECT coalesce(array_agg(name), '{}') FROM named WHERE oid IS NULL) AS missing,
            (SELECT coalesce(array_agg(name), '{}') FROM named
              WHERE oid IS NOT NULL AND has_database_privilege(oid, current_database(), 'CONNECT')) AS admitted,
            (SELECT count(*)::int FROM inside) AS sessions, (SELECT count(*) FILTER (WHERE told) FROM ended) AS told`,
    [roles],
  );
  return rows[0]!;
}

function unproven(detail: string): Proof {
  return { proven: false, detail };
}
