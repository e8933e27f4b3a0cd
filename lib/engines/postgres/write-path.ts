import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { END_MOVED, LEASE_MOVED } from '#lib/engines/postgres/lease-guard-sql.ts';
import { MESSAGE_PREFIX } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { checkPublication } from '#lib/engines/postgres/publication.ts';
import { fixedSequences, TELLING_DUE, WHERE_SEQUENCES_STAND } from '#lib/engines/postgres/sequences.ts';
import { type SlotName, type SlotStatus, slotLost, slotStatus } from '#lib/engines/postgres/slot-session.ts';
import type { StoreLease } from '#lib/ports/sentinel-ports.ts';

/** How long a database may take to answer, ms: one that hangs must hold up nobody. */
export const ANSWER_MS = 5_000;

export const HEARTBEAT_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.heartbeat (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    at_ms bigint NOT NULL)`;

/**
 * A row for the write path, as it would be the first to be refused, and a message for the log: tables of Understudy's own
 * do not travel. Now and then another one, which tells where the sequences stand. Where the database guards itself, its
 * lease moves along. The answer is the time: by the database's own clock the lease goes.
 */
const beatStatement = (lease?: { readonly moved: string; readonly endMoved: string }) => `
  WITH beat AS (
    INSERT INTO understudy.heartbeat (at_ms) VALUES ($1)
    ON CONFLICT (only_one) DO UPDATE SET at_ms = EXCLUDED.at_ms RETURNING at_ms),
  ${lease === undefined ? '' : `${lease.moved}, `}${TELLING_DUE},
  done AS (
    SELECT pg_logical_emit_message(true, '${MESSAGE_PREFIX}', at_ms::text)::text FROM beat
    UNION ALL SELECT pg_logical_emit_message(true, '${MESSAGE_PREFIX}', (${WHERE_SEQUENCES_STAND}))::text FROM due
    ${lease === undefined ? '' : `UNION ALL SELECT (${lease.endMoved})::text`})
  SELECT extract(epoch FROM statement_timestamp())::float8 * 1000 AS now, count(*) FROM done`;
const BEAT = beatStatement();
const BEAT_AND_RENEW = beatStatement({ moved: LEASE_MOVED, endMoved: END_MOVED });

/** The moment that a message of the log bears, Unix ms; undefined if it is no heartbeat. */
export function heartbeatTime(message: {
  readonly prefix: string;
  readonly content: Uint8Array;
}): number | undefined {
  const text = message.prefix === MESSAGE_PREFIX ? Buffer.from(message.content).toString('latin1') : '';
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

/**
 * Commits a heartbeat of a moment, Unix ms, and with it the lease, if there is one to renew. Returns a moment of the database's
 * clock while it did so, Unix ms. Throws POSTGRES_UNREACHABLE, POSTGRES_REFUSED or POSTGRES_FAILED.
 */
export async function beat(connect: Connect, atMs: number, lease?: StoreLease): Promise<number> {
  const client = await connect({ applicationName: 'understudy sentinel' });
  try {
    const values: number[] = [Math.round(atMs)];
    if (lease !== undefined) values.push(lease.epoch, Math.floor(lease.untilMs));
    const text = lease === undefined ? BEAT : BEAT_AND_RENEW;
    const query = { text, values, query_timeout: ANSWER_MS };
    const { rows } = await client.query<{ now: number }>(query);
    return rows[0]!.now;
  } catch (error) {
    throw postgresFailure(error, 'take a heartbeat');
  } finally {
    await client.end();
  }
}

/**
 * Returns how the slot of a database stands that could lead. Throws SLOT_LOST, PUBLICATION_UNFIT or POSTGRES_REFUSED
 * (its sequences) where one could not.
 */
export async function checkSlot(connect: Connect, { slot, publication }: SlotName): Promise<SlotStatus> {
  const client = await connect({ applicationName: 'understudy sentinel' });
  try {
    const status = await slotStatus(client, slot);
    if (status.state === 'absent' || status.state === 'lost') throw slotLost(slot);
    await checkPublication(client, publication);
    if ((await fixedSequences(client)) > 0) {
      throw new UnderstudyError(
        'POSTGRES_REFUSED',
        'the role may not set the sequences, which would give out numbers again after a failover',
        'GRANT UPDATE ON ALL SEQUENCES IN SCHEMA … TO the role.',
      );
    }
    return status;
  } catch (error) {
    throw postgresFailure(error, 'say whether it could lead');
  } finally {
    await client.end();
  }
}
