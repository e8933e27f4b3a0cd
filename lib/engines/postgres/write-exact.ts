import type pg from 'pg';
import type { Lsn } from '#lib/domain/lsn.ts';
import { applyConflict, type ChangeAt } from '#lib/engines/postgres/apply-conflict.ts';
import { DELETE, type RowChange } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { Pipeline, type Prepared } from '#lib/engines/postgres/pipeline.ts';
import { isObjection } from '#lib/engines/postgres/postgres-failure.ts';
import { rowStatement } from '#lib/engines/postgres/row-statement.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';

/** Statements of one round trip. */
const STATEMENTS = 256;

/** Writes changes one by one, in the order in which the leader made them, and says which one can't be applied. */
export class ExactWriter {
  readonly #client: pg.Client;
  readonly #prepared: Prepared;
  #pipeline: Pipeline;
  #changes: (ChangeAt & { readonly mayBeGone: boolean })[] = [];

  constructor(client: pg.Client, prepared: Prepared) {
    this.#client = client;
    this.#prepared = prepared;
    this.#pipeline = new Pipeline(prepared);
  }

  /** Throws APPLY_CONFLICT or APPLY_REFUSED, perhaps for a change that was added before; and the server's errors. */
  async add(target: TargetTable, change: RowChange, lsn: Lsn): Promise<void> {
    const written = rowStatement(target, change);
    if (written === undefined) return;
    this.#pipeline.add(written.statement, written.values);
    // A row that the leader deleted along with the one that it refers to went with that one here, too.
    const mayBeGone = change.tag === DELETE && target.cascades.deletes;
    this.#changes.push({ target, lsn, mayBeGone });
    if (this.#pipeline.length >= STATEMENTS) await this.end();
  }

  /** Returns once all that was added is written. */
  async end(): Promise<void> {
    const pipeline = this.#pipeline;
    const changes = this.#changes;
    this.#pipeline = new Pipeline(this.#prepared);
    this.#changes = [];
    const counts = await pipeline.run(this.#client).catch((error) => {
      const at = changes[pipeline.completed];
      throw at !== undefined && isObjection(error) ? applyConflict(at, error) : error;
    });
    const missed = changes.find(({ mayBeGone }, index) => counts[index] !== 1 && !mayBeGone);
    if (missed !== undefined) throw applyConflict(missed);
  }
}
