import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { RunReader } from '#lib/engines/postgres/run-reader.ts';
import { type TargetTable, targetTable } from '#lib/engines/postgres/target-table.ts';

/** The follower's tables as one session knows them. An error ends the session, and with it what it knew. */
export class TargetTables {
  readonly #session: ApplySession;
  readonly #known = new Map<string, TargetTable>();
  readonly #byDescription = new WeakMap<DescribedTable, TargetTable>();

  constructor(session: ApplySession) {
    this.#session = session;
  }

  /**
   * Finds the tables of a run. Where one has changed at the leader but not here, the run ends before it, so that what
   * was done before the change is applied; throws SCHEMA_DIFFERS if the run begins with it.
   */
  async load(reader: RunReader): Promise<void> {
    for (const segment of reader.segments) {
      try {
        for (const table of segment.tables) if (table !== undefined) await this.#load(table);
      } catch (error) {
        if (!isFailure(error, 'SCHEMA_DIFFERS') || segment === reader.segments[0]) throw error;
        reader.stopBefore(segment);
        return;
      }
    }
  }

  of(table: DescribedTable): TargetTable {
    return this.#byDescription.get(table)!;
  }

  async #load(table: DescribedTable): Promise<void> {
    // An OID may be given to another table later; the description as a whole never means another one.
    const description = Buffer.from(table.message).toString('latin1');
    let target = this.#known.get(description);
    if (target === undefined) {
      target = await targetTable(this.#session.client, table);
      if (!this.#session.isReplica && target.triggers.length > 0) throw triggersFire(target);
      this.#known.set(description, target);
    }
    this.#byDescription.set(table, target);
  }
}

function triggersFire({ name, sql, triggers }: TargetTable): UnderstudyError {
  return new UnderstudyError(
    'POSTGRES_REFUSED',
    `triggers of table ${name} would fire for applied changes, and the role may not switch them off`,
    `Here: ${triggers.map((trigger) => `ALTER TABLE ${sql} DISABLE TRIGGER "${trigger}"`).join('; ')}; or, as an administrator: GRANT SET ON PARAMETER session_replication_role TO the role.`,
  );
}
