import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { LeaderCatalog } from '#lib/engines/postgres/leader-catalog.ts';
import type { Pipeline } from '#lib/engines/postgres/pipeline.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import type { RunReader } from '#lib/engines/postgres/run-reader.ts';
import type { Past } from '#lib/engines/postgres/schema-difference.ts';
import type { SeenTables } from '#lib/engines/postgres/seen-tables.ts';
import type { Published } from '#lib/engines/postgres/snapshot.ts';
import { LOCAL, type TargetTable, targetTable } from '#lib/engines/postgres/target-table.ts';

/** The follower's tables as one session knows them. An error ends the session, and with it what it knew. */
export class TargetTables {
  readonly #session: ApplySession;
  readonly #seen: SeenTables | undefined;
  readonly #leader: LeaderCatalog | undefined;
  readonly #known = new Map<string, TargetTable>();
  readonly #byDescription = new WeakMap<DescribedTable, TargetTable>();

  /** @param memory what was seen of the leader's tables, and whom to ask about them. */
  constructor(session: ApplySession, memory?: { readonly seen: SeenTables; readonly leader: LeaderCatalog }) {
    this.#session = session;
    this.#seen = memory?.seen;
    this.#leader = memory?.leader;
  }

  /**
   * Finds the tables of a run. Where one has changed at the leader but not here, the run ends with the last transaction
   * before it, so that what was done before the change is applied; throws SCHEMA_DIFFERS if there is none.
   *
   * @param isInside the run begins in the middle of a transaction.
   */
  async load(reader: RunReader, isInside = false): Promise<void> {
    for (const segment of reader.segments) {
      const { epoch, first } = segment.placed.entry;
      for (const table of reader.tablesOf(segment)) {
        if (first > reader.end) return;
        try {
          await this.#load(table, { epoch, isInside });
        } catch (error) {
          if (!isFailure(error, 'SCHEMA_DIFFERS') || !reader.stopBefore(segment, table)) throw error;
        }
      }
    }
  }

  /** All tables are copied anew: they are those that the leader has now. */
  async begin(epoch: Epoch, published: readonly Published[]): Promise<void> {
    this.#seen?.forget();
    for (const { oid, schema, name, columns } of published) {
      const { rows } = await this.#session.client.query<{ local: string | null }>(LOCAL, [
        `${quote(schema)}.${quote(name)}`,
      ]);
      const local = rows[0]!.local;
      if (local !== null) this.#seen?.note(epoch, oid, { local: Number(local), columns });
    }
  }

  /** What the next commit must save of what was seen. */
  save(into: Pipeline): void {
    this.#seen?.save(into);
  }

  /** OIDs, in this database, of all that were looked up. */
  get locals(): readonly number[] {
    return [...this.#known.values()].map(({ local }) => local);
  }

  of(table: DescribedTable): TargetTable {
    return this.#byDescription.get(table)!;
  }

  async #load(table: DescribedTable, at: Pick<Past, 'epoch' | 'isInside'>): Promise<void> {
    // An OID may be given to another table later; the description as a whole never means another one.
    const description = Buffer.from(table.message).toString('latin1');
    let target = this.#known.get(description);
    if (target === undefined) {
      const past = { ...at, seen: this.#seen, leader: this.#leader };
      target = await targetTable(this.#session.client, table, past);
      if (!this.#session.isReplica && target.triggers.length > 0) throw triggersFire(target);
      // What was let pass in the middle of a transaction is looked at again after its end.
      if (!at.isInside) {
        this.#known.set(description, target);
        const columns = table.relation.columns.map(({ name }) => name);
        this.#seen?.note(at.epoch, table.relation.oid, { local: target.local, columns });
      }
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
