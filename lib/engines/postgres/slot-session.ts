import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { parseWal } from '#lib/engines/postgres/captured-change.ts';
import { PUBLISHED_CLASS } from '#lib/engines/postgres/own-names.ts';
import { postgresFailure, sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { isPublicationMissing, publicationLate } from '#lib/engines/postgres/publication.ts';
import { checkAndRemember } from '#lib/engines/postgres/publication-memory.ts';
import { literal } from '#lib/engines/postgres/quote.ts';

export type SlotName = { readonly slot: string; readonly publication: string };

/** The name of a Region's slot in the marks of the log. */
export function slotShard(at: RegionId, { slot }: Pick<SlotName, 'slot'>): string {
  return `${at}/${slot}`;
}

/** How a reader of a slot calls itself: whoever reads in a later epoch may end it. */
export function readerName(epoch: Epoch): string {
  return `understudy capture ${epoch}`;
}

/** Ends the reader that an older epoch may have left at the slot, frozen or forgotten. */
async function evictOlder(client: pg.Client, slot: string, epoch: Epoch): Promise<void> {
  await client.query(
    `SELECT pg_terminate_backend(a.pid) FROM pg_replication_slots s JOIN pg_stat_activity a ON a.pid = s.active_pid
      WHERE s.slot_name = $1
        AND substring(a.application_name FROM '^understudy capture ([0-9]{1,10})$')::bigint < $2`,
    [slot, epoch],
  );
}

/** `lost`: the server has thrown away changes that nobody had read. */
export type SlotStatus = {
  readonly state: 'absent' | 'lost' | 'idle' | 'busy';
  /** WAL that the server keeps for the slot, bytes. */
  readonly retainedBytes: number;
  readonly confirmed: bigint;
};

/**
 * Checks that a slot can be read in an epoch, and that all changes are read from it. Throws SLOT_LOST, SLOT_BUSY while
 * somebody else reads it, and PUBLICATION_UNFIT.
 *
 * @param follows nothing that waits in it is the group's: the database follows, and has nothing of its own.
 */
export async function openSlot(
  client: pg.Client,
  { slot, publication }: SlotName,
  epoch: Epoch,
  follows = false,
): Promise<SlotStatus> {
  const status = await slotStatus(client, slot);
  if (status.state === 'absent' || status.state === 'lost') throw slotLost(slot);
  if (status.state === 'busy') {
    await evictOlder(client, slot, epoch);
    throw slotBusy(slot);
  }
  await checkAndRemember(client, { slot, publication }, follows);
  return status;
}

/** How a slot stands. One query; as JSON, as servers before 17 give no reason. */
export async function slotStatus(client: pg.Client, slot: string): Promise<SlotStatus> {
  const { rows } = await client.query<{
    active: boolean;
    lost: boolean;
    retained: string;
    confirmed: string;
  }>(
    `SELECT active, wal_status = 'lost' OR to_jsonb(s) ->> 'invalidation_reason' IS NOT NULL AS lost,
            coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) AS retained,
            coalesce(confirmed_flush_lsn, '0/0') AS confirmed
       FROM pg_replication_slots s WHERE slot_name = $1`,
    [slot],
  );
  const row = rows[0];
  if (row === undefined) return { state: 'absent', retainedBytes: 0, confirmed: 0n };
  return {
    state: row.lost ? 'lost' : row.active ? 'busy' : 'idle',
    retainedBytes: Number(row.retained),
    confirmed: parseWal(row.confirmed),
  };
}

/** All types but those whose binary form names objects of one database by number: they mean nothing in another. */
const PORTABLE_TYPES = `
  SELECT t.oid::bigint AS oid FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
   WHERE CASE WHEN t.oid < 16384 THEN t.typname NOT LIKE 'reg%' AND coalesce(e.typname, '') NOT LIKE 'reg%'
              ELSE t.typtype IN ('e', 'b', 'r', 'm') AND e.oid IS NULL END`;

/**
 * Whether the tables that are published have only types whose binary form means the same in every database; if not,
 * values travel as text. All types of which that is true are given too.
 */
export async function binaryFit(
  client: pg.Client,
  publication: string,
): Promise<{ readonly fit: boolean; readonly portable: ReadonlySet<number> }> {
  const portable = await portableTypes(client);
  const others = await client.query(
    `SELECT 1 FROM pg_publication_tables p
       ${PUBLISHED_CLASS}
       JOIN pg_attribute a ON a.attrelid = c.oid
      WHERE p.pubname = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid::bigint <> ALL ($2) LIMIT 1`,
    [publication, [...portable]],
  );
  return { fit: others.rows.length === 0, portable };
}

export async function portableTypes(client: pg.Client): Promise<ReadonlySet<number>> {
  const { rows } = await client.query<{ oid: string }>(PORTABLE_TYPES);
  return new Set(rows.map(({ oid }) => Number(oid)));
}

/** The options with which pgoutput is asked. Applied changes have an origin, and are not sent again. */
export function pgoutputOptions(
  { publication }: SlotName,
  binary: boolean,
): Readonly<Record<string, string>> {
  return {
    proto_version: '1',
    publication_names: `"${publication.replaceAll('"', '""')}"`,
    messages: 'true',
    binary: String(binary),
    origin: 'none',
  };
}

export function optionList(options: Readonly<Record<string, string>>): string {
  return Object.entries(options)
    .map(([name, value]) => `${literal(name)}, ${literal(value)}`)
    .join(', ');
}

const OBJECT_IN_USE = '55006';
const NOT_THERE = '42704';
const NOT_IN_STATE = '55000';

/** Names a failure of reading or moving a slot. */
export function slotFailure(error: unknown, { slot, publication }: SlotName): UnderstudyError {
  if (isPublicationMissing(error)) return publicationLate(publication, error);
  const state = sqlState(error);
  if (state === OBJECT_IN_USE) return slotBusy(slot, error);
  if (state === NOT_THERE || state === NOT_IN_STATE) return slotLost(slot, error);
  return postgresFailure(error, `read slot ${slot}`);
}

export function slotLost(slot: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'SLOT_LOST',
    `replication slot ${slot} is gone or has lost changes that nobody had read`,
    'Make a new slot and let every follower take a snapshot; raise max_slot_wal_keep_size.',
    { cause },
  );
}

function slotBusy(slot: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'SLOT_BUSY',
    `somebody else reads replication slot ${slot}`,
    'One reader is enough; if it is not one of Understudy, stop it.',
    { cause },
  );
}
