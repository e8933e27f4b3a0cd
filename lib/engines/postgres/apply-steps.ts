import type { ChangeRecord } from '#lib/domain/change.ts';
import type { Lsn } from '#lib/domain/lsn.ts';
import { applyConflict } from '#lib/engines/postgres/apply-conflict.ts';
import type { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import { commitLsnOf, parseWal } from '#lib/engines/postgres/captured-change.ts';
import { NetChanges } from '#lib/engines/postgres/net-changes.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';
import { RowChange } from '#lib/engines/postgres/pgoutput/row-change.ts';
import { Pipeline, type Statement } from '#lib/engines/postgres/pipeline.ts';
import { isObjection } from '#lib/engines/postgres/postgres-failure.ts';
import type { ReadSegment, RunReader } from '#lib/engines/postgres/run-reader.ts';
import { NOTE_SEQUENCES, toldSequences } from '#lib/engines/postgres/sequences.ts';
import type { Copied } from '#lib/engines/postgres/snapshot.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';
import type { TargetTables } from '#lib/engines/postgres/target-tables.ts';
import type { TouchedRows } from '#lib/engines/postgres/touched-rows.ts';
import { ExactWriter } from '#lib/engines/postgres/write-exact.ts';
import { UnexpectedCount, writeNet } from '#lib/engines/postgres/write-net.ts';

/** What is to be done, in order. */
type Step =
  | { readonly kind: 'net'; readonly changes: readonly NetChanges[] }
  | { readonly kind: 'row'; readonly target: TargetTable; readonly message: Uint8Array; readonly lsn: Lsn }
  | {
      readonly kind: 'truncate';
      readonly targets: readonly TargetTable[];
      readonly restart: boolean;
      readonly alone: boolean;
      readonly lsn: Lsn;
    }
  | { readonly kind: 'sequences'; readonly told: string };

/** What is to be written: a run up to a record, without what a table's copy holds already, and without some rows. */
export type Run = {
  readonly reader: RunReader;
  readonly upTo: Lsn;
  readonly copied: Copied;
  readonly without?: Pick<TouchedRows, 'has' | 'hasTable'>;
};

const SAVEPOINT = 'SAVEPOINT run';

/**
 * Writes a run's changes up to `upTo` inside of a transaction, which `begin` begins if it is not open yet: at first what
 * they come to, row by row; where the database refuses that, change by change, as the leader made them.
 */
export async function applySteps(
  session: ApplySession,
  tables: TargetTables,
  run: Run,
  begin: readonly Statement[],
): Promise<void> {
  const isFresh = begin.length > 0;
  if (session.isReplica) {
    try {
      await write(session, netSteps(tables, run), isFresh ? begin : [{ text: SAVEPOINT, types: [] }]);
      return;
    } catch (error) {
      // Rows that trade values of a unique column meet in the middle; or something is in the way, to be told exactly.
      if (!(error instanceof UnexpectedCount) && !isObjection(error)) throw error;
    }
    await session.client.query(isFresh ? 'ROLLBACK' : `ROLLBACK TO ${SAVEPOINT}`);
  }
  await write(session, exactSteps(tables, run), begin);
}

async function write(
  { client, prepared }: ApplySession,
  steps: readonly Step[],
  begin: readonly Statement[],
): Promise<void> {
  const row = new RowChange();
  const exact = new ExactWriter(client, prepared);
  let first = begin;
  for (const step of steps) {
    if (step.kind === 'net') {
      await exact.end();
      await writeNet(client, prepared, step.changes, first);
      first = [];
      continue;
    }
    if (first.length > 0) await writeNet(client, prepared, [], first);
    first = [];
    if (step.kind === 'row') {
      row.read(step.message, 0, step.message.length);
      await exact.add(step.target, row, step.lsn);
    } else if (step.kind === 'sequences') {
      await exact.end();
      const note = new Pipeline(prepared);
      note.add(NOTE_SEQUENCES, [step.told]);
      await note.run(client);
    } else {
      await exact.end();
      const truncate = new Pipeline(prepared);
      const list = step.targets.map(({ sql }) => sql);
      const restart = step.restart ? ' RESTART IDENTITY' : '';
      // While tables stand at different positions, one may go empty without those that refer to it.
      const texts = step.alone
        ? list.map((sql) => `DELETE FROM ${sql}`)
        : [`TRUNCATE ${list.join(', ')}${restart}`];
      for (const text of texts) truncate.add({ text, types: [] });
      await truncate.run(client).catch((error) => {
        throw isObjection(error) ? applyConflict({ target: step.targets[0]!, lsn: step.lsn }, error) : error;
      });
    }
  }
  await exact.end();
  if (first.length > 0) await writeNet(client, prepared, [], first);
}

/** One change a row, except where only the order tells what is right. */
function netSteps(tables: TargetTables, run: Run): readonly Step[] {
  const steps: Step[] = [];
  const nets = new Map<string, NetChanges>();
  const row = new RowChange();
  let told: string | undefined;
  const flush = (changes: readonly NetChanges[]) => {
    const full = changes.filter(({ isEmpty }) => !isEmpty);
    for (const { target } of full) nets.delete(target.name);
    if (full.length > 0) steps.push({ kind: 'net', changes: full });
  };
  const netOf = (target: TargetTable): NetChanges => {
    const known = nets.get(target.name);
    if (known?.target === target) return known;
    // The table was altered in between: rows before and after have other columns.
    if (known !== undefined) flush([known]);
    const net = new NetChanges(target);
    nets.set(target.name, net);
    return net;
  };
  forEachChange(tables, run, {
    row(target, message, lsn) {
      row.read(message, 0, message.length);
      const net = netOf(target);
      if (net.add(row, message)) return;
      flush([net]);
      // By itself it may fit; if not, it is written as it is.
      if (!netOf(target).add(row, message)) steps.push({ kind: 'row', target, message, lsn });
    },
    truncate(targets, restart, alone, lsn) {
      for (const { name } of targets) nets.delete(name);
      steps.push({ kind: 'truncate', targets, restart, alone, lsn });
    },
    sequences(newest) {
      told = newest;
    },
  });
  flush([...nets.values()]);
  if (told !== undefined) steps.push({ kind: 'sequences', told });
  return steps;
}

function exactSteps(tables: TargetTables, run: Run): readonly Step[] {
  const steps: Step[] = [];
  forEachChange(tables, run, {
    row: (target, message, lsn) => steps.push({ kind: 'row', target, message, lsn }),
    truncate: (targets, restart, alone, lsn) =>
      steps.push({ kind: 'truncate', targets, restart, alone, lsn }),
    sequences: (told) => steps.push({ kind: 'sequences', told }),
  });
  return steps;
}

function forEachChange(
  tables: TargetTables,
  { reader, upTo, copied, without }: Run,
  on: {
    row(target: TargetTable, message: Uint8Array, lsn: Lsn): void;
    truncate(targets: readonly TargetTable[], restart: boolean, alone: boolean, lsn: Lsn): void;
    sequences(told: string): void;
  },
): void {
  const positions = new Map(Object.entries(copied).map(([name, position]) => [name, parseWal(position)]));
  const isCopied = (name: string, { sequence }: ChangeRecord) => {
    const position = positions.get(name);
    return position !== undefined && commitLsnOf(sequence) < position;
  };
  reader.forEach(upTo, (record, of, lsn) => {
    const message = record.after;
    if (message === undefined) throw malformed('is not in its record');
    // Commits are what `upTo` is made of; heartbeats and users' messages are nothing to write.
    if (record.kind === 'marker') {
      const told = toldSequences(message);
      if (told !== undefined) on.sequences(told);
      return;
    }
    if (record.kind === 'statement') {
      const decoded = decodeMessage(message);
      if (decoded.kind !== 'truncate') throw malformed('is not a statement');
      const targets = decoded.relations
        .map((oid) => targetOf(tables, of, oid))
        .filter(({ name }) => !isCopied(name, record) && without?.hasTable(name) !== true);
      const alone = positions.size > 0 || without !== undefined;
      if (targets.length > 0) on.truncate(targets, decoded.restartIdentity, alone, lsn);
      return;
    }
    const table = of.tables[record.table];
    if (table === undefined) throw malformed('belongs to no table');
    if (positions.size > 0 && isCopied(table.name, record)) return;
    if (without?.has(table, message)) return;
    on.row(tables.of(table), message, lsn);
  });
}

function targetOf(tables: TargetTables, { tables: described }: ReadSegment, oid: number): TargetTable {
  const table = described.find((each) => each?.relation.oid === oid);
  if (table === undefined) throw malformed(`refers to table ${oid}, which was not described`);
  return tables.of(table);
}
