import type { PostgresFacts, TableFacts } from '#lib/engines/postgres/doctor-facts.ts';
import { lacksGuard } from '#lib/engines/postgres/lease-guard.ts';
import { createPublication } from '#lib/engines/postgres/publication.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

/** `failed`: replication would not work or would stop; `warning`: something would be missing or at risk. */
export type Finding = {
  readonly verdict: 'failed' | 'warning';
  readonly check: string;
  readonly what: string;
  /** The statement that mends it, or what to do where none does. */
  readonly fix: string;
};

const LONG_SECONDS = 600;

/** What is missing or risky in a database before it leads or follows, each with what mends it; none if all is well. */
export function diagnosePostgres(facts: PostgresFacts): readonly Finding[] {
  return [
    ...serverFindings(facts),
    ...publicationFindings(facts),
    ...roleFindings(facts),
    ...facts.tables.flatMap(tableFindings),
    ...(facts.mayBeReplica ? [] : facts.tables.flatMap((table) => actionFindings(table, facts.role))),
    ...restFindings(facts),
    ...guardFindings(facts),
  ];
}

function serverFindings({ settings, slotsUsed, slotsLost, sendersUsed }: PostgresFacts): Finding[] {
  const findings: Finding[] = [];
  const failed = (check: string, what: string, fix: string) =>
    findings.push({ verdict: 'failed', check, what, fix });
  if (settings.wal_level !== 'logical') {
    const fix = `ALTER SYSTEM SET wal_level = 'logical'; then restart (RDS: rds.logical_replication = 1)`;
    failed('wal_level', `wal_level is ${settings.wal_level}`, fix);
  }
  const full = (name: string, used: number) => {
    if (used < Number(settings[name])) return;
    failed(name, `all ${settings[name]} are in use`, `ALTER SYSTEM SET ${name} = ${used + 5}; then restart`);
  };
  full('max_replication_slots', slotsUsed);
  full('max_wal_senders', sendersUsed);
  for (const slot of slotsLost) {
    failed(
      'slot',
      `slot ${slot} has lost changes`,
      `SELECT pg_drop_replication_slot('${slot.replaceAll("'", "''")}');`,
    );
  }
  if (settings.max_slot_wal_keep_size === '-1') {
    findings.push({
      verdict: 'warning',
      check: 'max_slot_wal_keep_size',
      what: 'a slot that nobody reads fills the disk',
      fix: `ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();`,
    });
  }
  return findings;
}

function publicationFindings({ publication, publicationFaults, partitioned }: PostgresFacts): Finding[] {
  const check = 'publication';
  if (publicationFaults === undefined) {
    const what = `there is no publication ${publication}: nothing is captured here`;
    const fix = `${createPublication(publication)}; understudy prepare runs it.`;
    return [{ verdict: 'warning', check, what, fix }];
  }
  const findings = publicationFaults.map(
    ({ what, fix }): Finding => ({
      verdict: 'failed',
      check,
      what: `publication ${publication} ${what}`,
      fix,
    }),
  );
  if (partitioned.length > 0) {
    const fix = 'DELETE its rows instead; run ATTACH and DETACH at every follower, too.';
    const what = `TRUNCATE of one partition of ${partitioned.join(', ')} is not published, nor are ATTACH and DETACH`;
    findings.push({ verdict: 'warning', check, what, fix });
  }
  return findings;
}

function roleFindings({
  role,
  mayReplicate,
  mayCreate,
  maySetOrigin,
  mayBeReplica,
  ownsDatabase,
  mayEndSessions,
}: PostgresFacts): Finding[] {
  const name = quote(role);
  const rights: readonly (readonly [boolean, Finding['verdict'], string, string, string])[] = [
    [
      mayReplicate,
      'failed',
      'slots',
      'may not make or read a slot',
      `ALTER ROLE ${name} REPLICATION; (RDS: GRANT rds_replication TO ${name};)`,
    ],
    [
      mayCreate,
      'failed',
      'create',
      'may not make the schema for positions, nor a publication',
      `GRANT CREATE ON DATABASE … TO ${name};`,
    ],
    [
      maySetOrigin,
      'failed',
      'origin',
      'may not mark what it applies, so it would be sent on',
      `GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text) TO ${name};`,
    ],
    [
      mayBeReplica,
      'warning',
      'session_replication_role',
      'may not switch off triggers and foreign keys while it applies: slower, and triggers are refused',
      `GRANT SET ON PARAMETER session_replication_role TO ${name};`,
    ],
    [
      ownsDatabase,
      'warning',
      'fence',
      'does not own the database, so it can shut nobody out when another Region leads',
      `ALTER DATABASE … OWNER TO ${name}; or GRANT the owner TO ${name};`,
    ],
    [
      mayEndSessions,
      'warning',
      'fence',
      "may not see and end others' sessions, so a fence proves nothing",
      `GRANT pg_signal_backend, pg_read_all_stats TO ${name};`,
    ],
  ];
  return rights.flatMap(([has, verdict, check, what, fix]) =>
    has ? [] : [{ verdict, check, what: `role ${role} ${what}`, fix }],
  );
}

function tableFindings({ table, identity, hasPrimaryKey, unlogged }: TableFacts): Finding[] {
  if (unlogged) {
    const what = `table ${table} is unlogged: it is not replicated`;
    return [{ verdict: 'warning', check: 'unlogged', what, fix: `ALTER TABLE ${table} SET LOGGED;` }];
  }
  const mend = hasPrimaryKey
    ? `ALTER TABLE ${table} REPLICA IDENTITY DEFAULT;`
    : `ALTER TABLE ${table} ADD PRIMARY KEY (…); or ALTER TABLE ${table} REPLICA IDENTITY FULL;`;
  if (identity === 'nothing' || (identity === 'default' && !hasPrimaryKey)) {
    const what = `table ${table} has no replica identity: once it is published, its updates and deletes fail`;
    return [{ verdict: 'failed', check: 'replica identity', what, fix: mend }];
  }
  if (identity === 'full' && !hasPrimaryKey) {
    const what = `table ${table} has no key: each update and delete at a follower reads the whole table`;
    return [
      {
        verdict: 'warning',
        check: 'replica identity',
        what,
        fix: `ALTER TABLE ${table} ADD PRIMARY KEY (…);`,
      },
    ];
  }
  return [];
}

/** What a table does by itself, and a role can't switch off. */
function actionFindings({ table, triggers, heldKeys }: TableFacts, role: string): Finding[] {
  const right = `GRANT SET ON PARAMETER session_replication_role TO ${quote(role)};`;
  const findings: Finding[] = [];
  if (triggers > 0) {
    const what = `triggers of table ${table} would fire for what is copied and applied: nothing is`;
    findings.push({ verdict: 'failed', check: 'triggers', what, fix: `${right} or disable them here.` });
  }
  if (heldKeys.length > 0) {
    const what = `foreign keys ${heldKeys.join(', ')} of table ${table} would refuse rows while tables are copied, and the role may not lift them`;
    const fix = `${right} or ALTER TABLE ${table} OWNER TO ${quote(role)}; and GRANT REFERENCES on the tables that it refers to.`;
    findings.push({ verdict: 'failed', check: 'foreign keys', what, fix });
  }
  return findings;
}

function restFindings({ fixedSequences, largeObjects, oldestTransaction }: PostgresFacts): Finding[] {
  const findings: Finding[] = [];
  const warning = (check: string, what: string, fix: string) =>
    findings.push({ verdict: 'warning', check, what, fix });
  if (fixedSequences > 0) {
    const what = `the role may not set ${fixedSequences} sequences: after a failover they would give out numbers again`;
    findings.push({
      verdict: 'failed',
      check: 'sequences',
      what,
      fix: 'GRANT UPDATE ON ALL SEQUENCES IN SCHEMA … TO the role;',
    });
  }
  if (largeObjects) {
    warning('large objects', 'large objects are not replicated', 'Keep them in a table as bytea.');
  }
  if (oldestTransaction > LONG_SECONDS) {
    const what = `a transaction has been open for ${Math.round(oldestTransaction)} s: a slot can't be made before it ends`;
    const fix =
      'SELECT pid, query FROM pg_stat_activity ORDER BY xact_start; then SELECT pg_terminate_backend(pid);';
    warning('long transaction', what, fix);
  }
  return findings;
}

/** The mode is the one that a table has: a database does not know what its group's configuration says. */
function guardFindings({ guarded, role }: PostgresFacts): Finding[] {
  const warning = (what: string, fix: string): Finding => ({
    verdict: 'warning',
    check: 'lease guard',
    what,
    fix,
  });
  if (guarded === undefined) {
    const what =
      'there is no lease guard: a leader that was frozen or cut off goes on acknowledging writes until its fence is up, and those are lost to the group';
    return [
      warning(
        what,
        "Set engine.guard to on or strict; the sentinel makes it as the group's next figures are told.",
      ),
    ];
  }
  const mode = guarded.some(({ commits }) => commits) ? 'strict' : 'on';
  const lacking = guarded.filter((table) => lacksGuard(table, mode)).map(({ name }) => name);
  if (lacking.length === 0) return [];
  const what = `without a lease guard (${mode}), a leader that has lost its lease goes on taking writes to ${lacking.join(', ')}`;
  const fix = `GRANT TRIGGER ON ${lacking.join(', ')} TO ${quote(role)}; the sentinel guards them within a minute.`;
  return [warning(what, fix)];
}
