import { isOfUsers, OWN_WRITES } from '#lib/engines/postgres/own-names.ts';

/** SQLSTATE of what the guard refuses: that of a database that is read only, which drivers and pools know. */
export const REFUSED = '25006';

/** Lease end of a database that was never lent one, Unix ms: a group that has no register yet is refused nothing. */
const OPEN_MS = 253_402_300_799_000;
/** Lease end of a database from which the lease was taken, Unix ms. */
const CLOSED_MS = 1;

export const STATEMENT_TRIGGER = 'understudy_lease';
export const COMMIT_TRIGGER = 'understudy_lease_at_commit';
/** As a list of SQL: triggers that let Understudy's own sessions pass. */
export const OWN_TRIGGERS = `('${STATEMENT_TRIGGER}', '${COMMIT_TRIGGER}')`;

/**
 * The end is read from a sequence, not from a row: its last value is the newest one whatever snapshot a transaction has, and
 * is had without a query.
 */
const LEASE_END = `to_timestamp(coalesce(pg_sequence_last_value('understudy.lease_end'::regclass), 0)::float8 / 1000)`;
/** True while the lease lasts; null if its end may not be read. A session looks up each function of it anew in each transaction, so it has few. */
const LASTS = `clock_timestamp() < to_timestamp(pg_sequence_last_value('understudy.lease_end'::regclass) / 1000::float8)`;
/** Understudy's own sessions write to a database that does not lead. */
const IS_OTHERS = `current_setting('${OWN_WRITES}', true) IS DISTINCT FROM 'on'`;

/** What both functions do once the lease is over. @param when ends the sentence that says when it ended. */
const refusal = (when: string) => `
    IF ${LASTS} THEN
      RETURN NULL;
    END IF;
    IF ${IS_OTHERS} THEN
      RAISE EXCEPTION 'this database does not hold the lease of its group, and takes no writes'
        USING ERRCODE = '${REFUSED}', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME,
              DETAIL = format('Its lease ended at %s${when}.', ${LEASE_END}),
              HINT = 'Connect to the leader, and run the transaction again there.';
    END IF;`;

/** Makes the guard, but for the triggers. The table is for people and for the order of epochs; the sequence is what is read. */
export const MAKE_GUARD = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.lease (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch bigint NOT NULL,
    ends_at timestamptz NOT NULL);
  INSERT INTO understudy.lease (epoch, ends_at) VALUES (0, 'infinity') ON CONFLICT DO NOTHING;
  CREATE SEQUENCE IF NOT EXISTS understudy.lease_end AS bigint START ${OPEN_MS};
  SELECT setval('understudy.lease_end', ${OPEN_MS}) WHERE NOT (SELECT is_called FROM understudy.lease_end);
  GRANT USAGE ON SCHEMA understudy TO PUBLIC;
  GRANT SELECT ON SEQUENCE understudy.lease_end TO PUBLIC;
  CREATE OR REPLACE FUNCTION understudy.lease_guard() RETURNS trigger LANGUAGE plpgsql AS $guard$
  BEGIN${refusal('')}
    RETURN NULL;
  END $guard$;
  CREATE OR REPLACE FUNCTION understudy.lease_check() RETURNS trigger LANGUAGE plpgsql AS $guard$
  BEGIN${refusal(', before the transaction could commit')}
    RETURN NULL;
  END $guard$`;

/** Whose triggers they are does not matter: they go with the functions. Writers are refused nothing while locks are waited for. */
export const REMOVE_GUARD = [
  `SELECT setval('understudy.lease_end', ${OPEN_MS})`,
  `DROP FUNCTION IF EXISTS understudy.lease_guard(), understudy.lease_check() CASCADE;
   DROP SEQUENCE understudy.lease_end; DROP TABLE understudy.lease; REVOKE USAGE ON SCHEMA understudy FROM PUBLIC`,
] as const;

/** Takes the checks at commit from all tables: MAKE_GUARD makes the function anew. */
export const REMOVE_CHECKS = `DROP FUNCTION understudy.lease_check() CASCADE`;

/**
 * A check of each statement, before it writes. Without a condition (WHEN): to read that anew for each statement takes the server longer
 * than to call a function that it knows. See ADR 39.
 *
 * @param events what it is that is checked.
 */
export function guardStatements(table: string, events: 'every write' | 'truncate'): string {
  return `CREATE OR REPLACE TRIGGER ${STATEMENT_TRIGGER} BEFORE ${events === 'truncate' ? '' : 'INSERT OR UPDATE OR DELETE OR '}TRUNCATE
    ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION understudy.lease_guard()`;
}

/** A check that is put off until the commit has to be that of a row. A TRUNCATE has none. */
export function guardCommits(table: string): string {
  return `CREATE CONSTRAINT TRIGGER ${COMMIT_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON ${table}
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION understudy.lease_check()`;
}

/**
 * Parts of a statement that moves the lease; values $2: epoch, $3: its end, Unix ms. A call of an earlier epoch that comes late
 * changes nothing, and whoever comes first holds the row until both have moved.
 */
export const LEASE_MOVED = `lease AS (
    UPDATE understudy.lease SET epoch = $2, ends_at = to_timestamp($3::float8 / 1000) WHERE epoch <= $2 RETURNING 1)`;
export const END_MOVED = `SELECT setval('understudy.lease_end', $3::bigint) FROM lease`;

/** Takes the lease from a database, for a leader of epoch $1 or a later one to renew. */
export const REVOKE = `
  WITH lease AS (
    UPDATE understudy.lease SET epoch = greatest(epoch, $1), ends_at = to_timestamp(${CLOSED_MS / 1000}) WHERE epoch <= $1 RETURNING 1)
  SELECT setval('understudy.lease_end', ${CLOSED_MS}) FROM lease`;

const hasTrigger = (name: string, more = '') =>
  `EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = '${name}' AND t.tgenabled IN ('O', 'A') ${more})`;
/** Bits of `tgtype` for INSERT, DELETE and UPDATE. */
const WRITES = 4 + 8 + 16;

/**
 * Whatever an application can write to by name, a partition, too, and how it is guarded. Rows are in tables that have no
 * partitions: were their check a trigger of the parent, a table that has it already could not be attached.
 */
export const GUARDED_TABLES = `
  SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind = 'r' AS "holdsRows", ${hasTrigger(STATEMENT_TRIGGER)} AS truncate,
         ${hasTrigger(STATEMENT_TRIGGER, `AND t.tgtype & ${WRITES} = ${WRITES}`)} AS statements, ${hasTrigger(COMMIT_TRIGGER)} AS commits
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p'
     AND ${isOfUsers('n.nspname')}
     AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = c.oid AND x.deptype = 'e')
   ORDER BY 1`;

/** Is there what the triggers rest on? */
export const GUARD_INSTALLED = `
  SELECT to_regclass('understudy.lease_end') IS NOT NULL AND to_regclass('understudy.lease') IS NOT NULL
         AND to_regproc('understudy.lease_guard') IS NOT NULL AND to_regproc('understudy.lease_check') IS NOT NULL AS installed`;
