import type pg from 'pg';
import { makeOrigin } from '#lib/engines/postgres/apply-session.ts';
import { FENCE_SCHEMA } from '#lib/engines/postgres/fence-state.ts';
import { LIFTED_SCHEMA } from '#lib/engines/postgres/foreign-keys.ts';
import { CHECKPOINT_SCHEMA } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { checkPublication, createPublication, publicationFaults } from '#lib/engines/postgres/publication.ts';
import { PUBLICATION_SCHEMA } from '#lib/engines/postgres/publication-memory.ts';
import { SEEN_SCHEMA } from '#lib/engines/postgres/seen-tables.ts';
import { SEQUENCES_SCHEMA } from '#lib/engines/postgres/sequences.ts';
import { HEARTBEAT_SCHEMA } from '#lib/engines/postgres/write-path.ts';

/** Makes what a database needs to be written to by an applier, unless it is there. Throws POSTGRES_REFUSED. */
export async function prepareFollower(client: pg.Client, origin: string): Promise<void> {
  try {
    await client.query(CHECKPOINT_SCHEMA);
    await client.query(SEEN_SCHEMA);
    await client.query(LIFTED_SCHEMA);
    await client.query(SEQUENCES_SCHEMA);
    await makeOrigin(client, origin);
  } catch (error) {
    throw postgresFailure(error, 'get ready to follow');
  }
}

/**
 * Makes what a database needs to lead, and to be fenced, publication and slot included, unless it is there. Throws
 * PUBLICATION_UNFIT, before there is a slot, where a publication is there that leaves out changes; POSTGRES_REFUSED.
 *
 * @param slot a name that this group has never used before: see ADR 21.
 */
export async function prepareLeader(client: pg.Client, publication: string, slot: string): Promise<void> {
  try {
    if ((await publicationFaults(client, publication)) === undefined) {
      await client.query(createPublication(publication));
    }
    await checkPublication(client, publication);
    await client.query(HEARTBEAT_SCHEMA);
    await client.query(PUBLICATION_SCHEMA);
    await client.query(FENCE_SCHEMA);
    await client.query(SEQUENCES_SCHEMA);
    await client.query(
      `SELECT pg_create_logical_replication_slot($1, 'pgoutput')
        WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`,
      [slot],
    );
  } catch (error) {
    throw postgresFailure(error, 'get ready to lead');
  }
}
