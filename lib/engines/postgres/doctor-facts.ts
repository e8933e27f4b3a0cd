import type pg from 'pg';
import { type GuardedTable, guardedTables } from '#lib/engines/postgres/lease-guard.ts';
import { OWN_TRIGGERS } from '#lib/engines/postgres/lease-guard-sql.ts';
import { isOfUsers, PUBLISHED_CLASS } from '#lib/engines/postgres/own-names.ts';
import { type PublicationFault, publicationFaults } from '#lib/engines/postgres/publication.ts';
import { fixedSequences } from '#lib/engines/postgres/sequences.ts';

export type TableFacts = {
  /** As SQL. */
  readonly table: string;
  readonly identity: 'default' | 'nothing' | 'full' | 'index';
  readonly hasPrimaryKey: boolean;
  readonly unlogged: boolean;
  /** Triggers of users' own. */
  readonly triggers: number;
  /** Foreign keys that the role could not drop and make anew. */
  readonly heldKeys: readonly string[];
};

/** What a database says about itself, as far as replication asks. */
export type PostgresFacts = {
  readonly settings: Readonly<Record<string, string>>;
  readonly role: string;
  /** May the role read and make slots? */
  readonly mayReplicate: boolean;
  readonly mayCreate: boolean;
  readonly maySetOrigin: boolean;
  readonly mayBeReplica: boolean;
  /** May it take the right to connect to this database from others? */
  readonly ownsDatabase: boolean;
  /** May it see and end others' sessions? */
  readonly mayEndSessions: boolean;
  readonly publication: string;
  /** Undefined where there is none of that name. */
  readonly publicationFaults?: readonly PublicationFault[];
  /** Partitioned tables that it publishes. */
  readonly partitioned: readonly string[];
  readonly slotsUsed: number;
  readonly slotsLost: readonly string[];
  readonly sendersUsed: number;
  readonly tables: readonly TableFacts[];
  /** Sequences that the role may not set. */
  readonly fixedSequences: number;
  readonly largeObjects: boolean;
  /** Age of the oldest transaction that is open, seconds. */
  readonly oldestTransaction: number;
  /** Undefined where the database has no lease guard. */
  readonly guarded?: readonly GuardedTable[];
};

const SETTINGS = ['wal_level', 'max_replication_slots', 'max_wal_senders', 'max_slot_wal_keep_size'];

/** Asks a database, by reading alone. */
export async function postgresFacts(client: pg.Client, publication = 'understudy'): Promise<PostgresFacts> {
  const one = async (sql: string, values: readonly unknown[] = []) =>
    (await client.query<Record<string, never>>(sql, [...values])).rows[0]!;
  const settings = await client.query<{ name: string; setting: string }>(
    'SELECT name, setting FROM pg_settings WHERE name = ANY ($1)',
    [SETTINGS],
  );
  const role = await one(`
    SELECT rolname AS role,
           rolsuper OR rolreplication OR EXISTS (
             SELECT FROM pg_roles r WHERE r.rolname IN ('rds_replication', 'rds_superuser')
               AND pg_has_role(current_user, r.oid, 'member')) AS replicates,
           has_database_privilege(current_database(), 'CREATE') AS creates,
           has_function_privilege('pg_replication_origin_session_setup(text)', 'EXECUTE') AS origin,
           rolsuper OR has_parameter_privilege('session_replication_role', 'SET') AS replica,
           (SELECT pg_has_role(d.datdba, 'USAGE') FROM pg_database d WHERE d.datname = current_database()) AS owns,
           pg_has_role('pg_signal_backend', 'USAGE') AND pg_has_role('pg_read_all_stats', 'USAGE') AS ends
      FROM pg_roles WHERE rolname = current_user`);
  const slots = await one(`
    SELECT count(*)::int AS used, coalesce(array_agg(slot_name::text) FILTER (WHERE wal_status = 'lost'), '{}') AS lost,
           (SELECT count(*)::int FROM pg_stat_replication) AS senders FROM pg_replication_slots`);
  const tables = await client.query<TableFacts>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS "table",
            CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' ELSE 'default' END AS identity,
            EXISTS (SELECT FROM pg_constraint p WHERE p.conrelid = c.oid AND p.contype = 'p') AS "hasPrimaryKey",
            c.relpersistence = 'u' AS unlogged,
            (SELECT count(*)::int FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
               AND t.tgname NOT IN ${OWN_TRIGGERS}) AS triggers,
            ARRAY(SELECT f.conname::text FROM pg_constraint f WHERE f.conrelid = c.oid AND f.contype = 'f'
                     AND NOT (pg_has_role(c.relowner, 'USAGE') AND has_table_privilege(f.confrelid, 'REFERENCES')) ORDER BY 1) AS "heldKeys"
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
        AND ${isOfUsers('n.nspname')} ORDER BY 1`,
  );
  const rest = await one(`
    SELECT EXISTS (SELECT FROM pg_largeobject_metadata) AS large,
           (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
             WHERE pid <> pg_backend_pid() AND backend_type = 'client backend') AS oldest`);
  const faults = await publicationFaults(client, publication);
  const partitioned = await client.query<{ table: string }>(
    `SELECT format('%I.%I', p.schemaname, p.tablename) AS "table" FROM pg_publication_tables p
       ${PUBLISHED_CLASS}
      WHERE p.pubname = $1 AND c.relkind = 'p' ORDER BY 1`,
    [publication],
  );
  const guarded = await guardedTables(client);
  return {
    settings: Object.fromEntries(settings.rows.map(({ name, setting }) => [name, setting])),
    role: role.role!,
    mayReplicate: role.replicates!,
    mayCreate: role.creates!,
    maySetOrigin: role.origin!,
    mayBeReplica: role.replica!,
    ownsDatabase: role.owns!,
    mayEndSessions: role.ends!,
    publication,
    ...(faults && { publicationFaults: faults }),
    partitioned: partitioned.rows.map(({ table }) => table),
    slotsUsed: slots.used!,
    slotsLost: slots.lost!,
    sendersUsed: slots.senders!,
    tables: tables.rows,
    fixedSequences: await fixedSequences(client),
    largeObjects: rest.large!,
    oldestTransaction: rest.oldest!,
    ...(guarded && { guarded }),
  };
}
