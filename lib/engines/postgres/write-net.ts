import type pg from 'pg';
import { type ColumnValues, columnValues } from '#lib/engines/postgres/column-values.ts';
import { copyIn } from '#lib/engines/postgres/copy-in.ts';
import type { NetChanges } from '#lib/engines/postgres/net-changes.ts';
import {
  DELETE,
  INSERT,
  NULL,
  RowChange,
  type Tuple,
  UNCHANGED,
  UPDATE,
} from '#lib/engines/postgres/pgoutput/row-change.ts';
import { Pipeline, type Prepared, type Statement } from '#lib/engines/postgres/pipeline.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import { type Form, formOf } from '#lib/engines/postgres/row-key.ts';
import { rowStatement } from '#lib/engines/postgres/row-statement.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';
import { WireBuffer } from '#lib/engines/postgres/wire-buffer.ts';

/** Inserts below this number go one by one: a COPY costs a round trip. */
const COPY_ROWS = 4;
const COPY_SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TEXT_ARRAY = 1009;

/** A statement that affected another number of rows than there are changes in it. */
export class UnexpectedCount extends Error {}

const row = new RowChange();

/**
 * Writes what runs of changes come to: per table deletes, then updates, then inserts, each as few statements as there
 * are sets of columns. Throws UnexpectedCount where a row is not there that must be, and the server's errors.
 *
 * @param first statements that go before, in the same round trip.
 */
export async function writeNet(
  client: pg.Client,
  prepared: Prepared,
  all: readonly NetChanges[],
  first: readonly Statement[] = [],
): Promise<void> {
  const pipeline = new Pipeline(prepared);
  for (const statement of first) pipeline.add(statement);
  const expected = new Map<number, number>();
  const copies: { readonly command: string; readonly data: Buffer; readonly rows: number }[] = [];
  for (const { target, rows, appended } of all) {
    const deletes: Uint8Array[] = [];
    const updates: Uint8Array[] = [];
    const inserts: Uint8Array[] = appended.slice();
    for (const { tag, message } of rows.values()) {
      (tag === DELETE ? deletes : tag === UPDATE ? updates : inserts).push(message);
    }
    putBatches(pipeline, expected, target, DELETE, deletes);
    putBatches(pipeline, expected, target, UPDATE, updates);
    copies.push(...putInserts(pipeline, expected, target, inserts));
  }
  const counts = await pipeline.run(client);
  for (const [index, count] of expected) if (counts[index] !== count) throw new UnexpectedCount();
  for (const { command, data, rows } of copies) {
    if ((await copyIn(client, command, data)) !== rows) throw new UnexpectedCount();
  }
}

/** Rows of one form and one set of columns. */
type Group = { readonly form: Form; readonly columns: readonly number[]; readonly messages: Uint8Array[] };

function grouped(target: TargetTable, tag: number, messages: readonly Uint8Array[]): readonly Group[] {
  const groups = new Map<string, Group>();
  for (const message of messages) {
    row.read(message, 0, message.length);
    const tuple = sourceOf(tag);
    const form = formOf(tuple);
    let mask: string = form;
    if (tag === UPDATE)
      for (let i = 0; i < tuple.count; i++) if (tuple.kinds[i] === UNCHANGED) mask += ` ${i}`;
    let group = groups.get(mask);
    if (group === undefined) {
      const all = target.columns.map((_, column) => column);
      const columns = tag === DELETE ? target.key : all.filter((column) => tuple.kinds[column] !== UNCHANGED);
      group = { form, columns, messages: [] };
      groups.set(mask, group);
    }
    group.messages.push(message);
  }
  return [...groups.values()];
}

/** The tuple that a net change is read from: a delete has no other than the old one. */
function sourceOf(tag: number): Tuple {
  return tag === DELETE ? row.before : row.after;
}

function putBatches(
  pipeline: Pipeline,
  expected: Map<number, number>,
  target: TargetTable,
  tag: number,
  messages: readonly Uint8Array[],
): void {
  if (messages.length === 0) return;
  for (const { form, columns, messages: rows } of grouped(target, tag, messages)) {
    const isPlain = columns.every((column) => {
      const { array, isArray } = target.columns[column]!;
      return form === 'text' || (array !== 0 && !isArray);
    });
    if (form === 'mixed' || !isPlain || rows.length === 1) {
      for (const message of rows) putRow(pipeline, expected, target, tag, message);
      continue;
    }
    const values = columns.map((column) => columnValues(form, target.columns[column]!.type, rows.length));
    for (const message of rows) {
      row.read(message, 0, message.length);
      const tuple = sourceOf(tag);
      columns.forEach((column, index) => {
        values[index]!.put(message, tuple, column);
      });
    }
    const statement = batchStatement(target, tag, form, columns);
    if (statement === undefined) continue;
    const index = pipeline.add(
      statement,
      values.map((column: ColumnValues) => column.end()),
    );
    expected.set(index, rows.length);
  }
}

const statements = new WeakMap<TargetTable, Map<string, Statement | undefined>>();

/** One statement for many rows: their values come column by column, as arrays. */
function batchStatement(
  target: TargetTable,
  tag: number,
  form: Form,
  columns: readonly number[],
): Statement | undefined {
  const known = statements.get(target) ?? new Map<string, Statement | undefined>();
  statements.set(target, known);
  const name = `${tag} ${form} ${columns.join()}`;
  if (known.has(name)) return known.get(name);
  const cast = (column: number) => (form === 'text' ? `::${target.columns[column]!.sqlType}` : '');
  const given = columns.map((_, index) => `$${index + 1}`).join(', ');
  const names = columns.map((column) => `c${column}`).join(', ');
  const from = `unnest(${given}) AS u(${names})`;
  const sqlName = (column: number) => quote(target.columns[column]!.name);
  const where = target.key
    .map((column) => `t.${sqlName(column)} = u.c${column}${cast(column)}`)
    .join(' AND ');
  const set = columns
    .filter((column) => !target.key.includes(column))
    .map((column) => `${sqlName(column)} = u.c${column}${cast(column)}`);
  const text =
    tag === DELETE
      ? `DELETE FROM ${target.sql} t USING ${from} WHERE ${where}`
      : `UPDATE ${target.sql} t SET ${set.join(', ')} FROM ${from} WHERE ${where}`;
  const types = columns.map((column) => (form === 'text' ? TEXT_ARRAY : target.columns[column]!.array));
  const statement = tag === UPDATE && set.length === 0 ? undefined : { text, types };
  known.set(name, statement);
  return statement;
}

function putRow(
  pipeline: Pipeline,
  expected: Map<number, number>,
  target: TargetTable,
  tag: number,
  message: Uint8Array,
): void {
  row.read(message, 0, message.length);
  // What was merged from several changes is one of its own kind, whatever the message that it was made of.
  row.tag = tag;
  if (tag !== DELETE) row.old = 0;
  const written = rowStatement(target, row);
  if (written !== undefined) expected.set(pipeline.add(written.statement, written.values), 1);
}

function* putInserts(
  pipeline: Pipeline,
  expected: Map<number, number>,
  target: TargetTable,
  inserts: readonly Uint8Array[],
): Iterable<{ command: string; data: Buffer; rows: number }> {
  if (inserts.length < COPY_ROWS) {
    for (const message of inserts) putRow(pipeline, expected, target, INSERT, message);
    return;
  }
  const binary = new WireBuffer(1 << 16);
  const text: string[] = [];
  let binaries = 0;
  binary.raw(COPY_SIGNATURE, 0, COPY_SIGNATURE.length);
  for (const message of inserts) {
    row.read(message, 0, message.length);
    const form = formOf(row.after);
    if (form === 'mixed') putRow(pipeline, expected, target, INSERT, message);
    else if (form === 'text') text.push(copyLine(message, row.after));
    else {
      binaries += 1;
      putBinaryRow(binary, message, row.after);
    }
  }
  const columns = target.columns.map(({ name }) => quote(name)).join(', ');
  const command = `COPY ${target.sql} (${columns}) FROM STDIN`;
  if (binaries > 0) {
    binary.u16(0xffff);
    yield { command: `${command} (FORMAT binary)`, data: binary.view(), rows: binaries };
  }
  if (text.length > 0) yield { command, data: Buffer.from(text.join('')), rows: text.length };
}

function putBinaryRow(out: WireBuffer, bytes: Uint8Array, { count, kinds, starts, ends }: Tuple): void {
  out.u16(count);
  for (let column = 0; column < count; column += 1) {
    if (kinds[column] === NULL) out.u32(0xffff_ffff);
    // The length stands right before the value, in the form in which it is wanted.
    else out.raw(bytes, starts[column]! - 4, ends[column]!);
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function copyLine(bytes: Uint8Array, { count, kinds, starts, ends }: Tuple): string {
  let line = '';
  for (let column = 0; column < count; column += 1) {
    if (column > 0) line += '\t';
    line +=
      kinds[column] === NULL
        ? '\\N'
        : (bytes as Buffer)
            .toString('utf8', starts[column], ends[column])
            .replace(/[\\\n\r\t]/g, (character) => ESCAPES[character]!);
  }
  return `${line}\n`;
}
