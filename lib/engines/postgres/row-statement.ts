import {
  BINARY,
  DELETE,
  INSERT,
  NULL,
  type RowChange,
  type Tuple,
  UNCHANGED,
} from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter, Statement } from '#lib/engines/postgres/pipeline.ts';
import { quote } from '#lib/engines/postgres/quote.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';

/** One row's change as a statement of its own: what the leader did, column for column. */
export function rowStatement(
  target: TargetTable,
  change: RowChange,
): { readonly statement: Statement; readonly values: readonly Parameter[] } | undefined {
  const { tag, after, before, old } = change;
  const parts = new Parts(target, change.bytes);
  const { sql } = target;
  if (tag === INSERT) {
    const columns = parts.columns(after, () => true);
    const list = columns.map(({ name }) => name).join(', ');
    const values = columns.map(({ parameter }) => parameter).join(', ');
    return parts.end(`INSERT INTO ${sql} (${list}) OVERRIDING SYSTEM VALUE VALUES (${values})`);
  }
  const where = old === 0 ? after : before;
  const from = target.key.length > 0 ? '' : `WITH row AS (${parts.rowOf(where)}) `;
  const join = from === '' ? parts.keyOf(where) : 't.ctid = row.c AND t.tableoid = row.o';
  // Where the row that it refers to got another key before, it has its own new one already.
  const moved = old !== 0 && from === '' && tag !== DELETE && target.cascades.updates;
  if (tag === DELETE) {
    return parts.end(`${from}DELETE FROM ${sql} t${from === '' ? '' : ' USING row'} WHERE ${join}`);
  }
  // A key that stays is not set: not every column may be.
  const isKey = (column: number) => target.key.includes(column) && (old === 0 || isSame(change, column));
  const set = parts
    .columns(after, (column) => after.kinds[column] !== UNCHANGED && !isKey(column))
    .map(({ name, parameter }) => `${name} = ${parameter}`);
  if (set.length === 0) return undefined;
  return parts.end(
    `${from}UPDATE ${sql} t SET ${set.join(', ')}${from === '' ? '' : ' FROM row'} WHERE ${moved ? `${join} OR ${parts.keyOf(after)}` : join}`,
  );
}

function isSame({ bytes, before, after }: RowChange, column: number): boolean {
  const value = (tuple: Tuple) => (bytes as Buffer).subarray(tuple.starts[column], tuple.ends[column]);
  return before.kinds[column] === after.kinds[column] && value(before).equals(value(after));
}

class Parts {
  readonly #target: TargetTable;
  readonly #bytes: Uint8Array;
  readonly #types: number[] = [];
  readonly #values: Parameter[] = [];

  constructor(target: TargetTable, bytes: Uint8Array) {
    this.#target = target;
    this.#bytes = bytes;
  }

  columns(tuple: Tuple, wanted: (column: number) => boolean): { name: string; parameter: string }[] {
    return this.#target.columns.flatMap(({ name }, column) =>
      wanted(column) ? [{ name: quote(name), parameter: this.#put(tuple, column) }] : [],
    );
  }

  keyOf(tuple: Tuple): string {
    return this.#target.key
      .map((column) => `t.${quote(this.#target.columns[column]!.name)} = ${this.#put(tuple, column)}`)
      .join(' AND ');
  }

  /** The first row of all that are equal, byte by byte, in every column that is known. */
  rowOf(tuple: Tuple): string {
    const columns = this.columns(tuple, (column) => tuple.kinds[column] !== UNCHANGED);
    const names = columns.map(({ name }) => `r.${name}`).join(', ');
    const values = columns.map(({ parameter }) => parameter).join(', ');
    return `SELECT r.ctid AS c, r.tableoid AS o FROM ${this.#target.sql} r WHERE ROW(${names})::record *= ROW(${values})::record LIMIT 1`;
  }

  end(text: string): { readonly statement: Statement; readonly values: readonly Parameter[] } {
    return { statement: { text, types: this.#types }, values: this.#values };
  }

  #put(tuple: Tuple, column: number): string {
    this.#values.push(valueAt(this.#bytes, tuple, column));
    this.#types.push(this.#target.columns[column]!.type);
    return `$${this.#values.length}`;
  }
}

function valueAt(bytes: Uint8Array, { kinds, starts, ends }: Tuple, column: number): Parameter {
  const kind = kinds[column]!;
  if (kind === NULL || kind === UNCHANGED) return null;
  const value = (bytes as Buffer).subarray(starts[column], ends[column]);
  return kind === BINARY ? value : value.toString('utf8');
}
