import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Lsn } from '#lib/domain/lsn.ts';
import type { RowChange } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { Pipeline, type Prepared } from '#lib/engines/postgres/pipeline.ts';
import { postgresFailure, sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { rowStatement } from '#lib/engines/postgres/row-statement.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';

/** Statements of one round trip. */
const STATEMENTS = 256;

/** Writes changes one by one, in the order in which the leader made them, and says which one can't be applied. */
export class ExactWriter {
  readonly #client: pg.Client;
  readonly #prepared: Prepared;
  #pipeline: Pipeline;
  #changes: { readonly table: string; readonly lsn: Lsn }[] = [];

  constructor(client: pg.Client, prepared: Prepared) {
    this.#client = client;
    this.#prepared = prepared;
    this.#pipeline = new Pipeline(prepared);
  }

  /** Throws APPLY_CONFLICT, perhaps for a change that was added before. */
  async add(target: TargetTable, change: RowChange, lsn: Lsn): Promise<void> {
    const written = rowStatement(target, change);
    if (written === undefined) return;
    this.#pipeline.add(written.statement, written.values);
    this.#changes.push({ table: target.name, lsn });
    if (this.#pipeline.length >= STATEMENTS) await this.end();
  }

  /** Returns once all that was added is written. */
  async end(): Promise<void> {
    const pipeline = this.#pipeline;
    const changes = this.#changes;
    this.#pipeline = new Pipeline(this.#prepared);
    this.#changes = [];
    try {
      const counts = await pipeline.run(this.#client);
      const at = counts.findIndex((count) => count !== 1);
      if (at >= 0) throw conflict(changes[at]!, 'the row is not there');
    } catch (error) {
      const state = sqlState(error);
      const at = changes[pipeline.completed];
      if (state?.startsWith('23') && at !== undefined) throw conflict(at, (error as Error).message, error);
      throw postgresFailure(error, 'apply changes');
    }
  }
}

function conflict(
  { table, lsn }: { readonly table: string; readonly lsn: Lsn },
  why: string,
  cause?: unknown,
): UnderstudyError {
  return new UnderstudyError(
    'APPLY_CONFLICT',
    `the change of table ${table} at LSN ${lsn} can't be applied: ${why}`,
    `Look at it with understudy log cat ${lsn}, and make the row here what it was at the leader before.`,
    { cause },
  );
}
