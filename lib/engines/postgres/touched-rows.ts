import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { PostgresChange } from '#lib/engines/postgres/divergent-change.ts';
import { NULL, RowChange, type Tuple, UNCHANGED } from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter } from '#lib/engines/postgres/pipeline.ts';
import { keyOf } from '#lib/engines/postgres/row-key.ts';
import { valueAt } from '#lib/engines/postgres/value-texts.ts';

/** Rows of a table, by key. */
export type TouchedTable = {
  readonly table: DescribedTable;
  /** Names of the columns that name a row, in order of the alphabet. */
  readonly key: readonly string[];
  /** All of its rows, as they have no key, or keys of two kinds, or as they all went at once. */
  whole: boolean;
  /** Values of `key`, by the bytes of the key. */
  readonly rows: Map<string, readonly Parameter[]>;
};

/** The primary key's columns of a table: what names a row where its replica identity is FULL. */
export type PrimaryKeys = (table: DescribedTable) => readonly string[];

/**
 * The rows that changes have touched, under whatever key they had on the way. Of a leader's changes made meanwhile, all are
 * of touched rows only, or of none (see `join`).
 */
export class TouchedRows {
  readonly #tables = new Map<string, TouchedTable>();
  readonly #primary: PrimaryKeys;
  readonly #row = new RowChange();
  /** The columns of the key in a description, in the order of their names. */
  readonly #keys = new WeakMap<DescribedTable, readonly number[]>();
  /** In which form keys are: binary or text. */
  readonly #forms = new Map<string, string>();

  constructor(primary: PrimaryKeys) {
    this.#primary = primary;
  }

  get tables(): readonly TouchedTable[] {
    return [...this.#tables.values()];
  }

  /** Adds the rows of a divergent change. */
  add({ kind, message, tables }: Pick<PostgresChange, 'kind' | 'message' | 'tables'>): void {
    if (kind === 'marker') return;
    if (kind === 'statement') for (const table of tables) this.#of(table).whole = true;
    else for (const tuple of this.#tuples(message)) this.#put(tables[0]!, tuple);
  }

  /** True if a table is touched as a whole. */
  hasTable(name: string): boolean {
    return this.#tables.get(name)?.whole === true;
  }

  /** True if the change is of a touched row. */
  has(table: DescribedTable, message: Uint8Array): boolean {
    const touched = this.#tables.get(table.name);
    if (touched === undefined || touched.whole) return touched !== undefined;
    return this.#tuples(message).some((tuple) => touched.rows.has(this.#idOf(table, tuple)));
  }

  /**
   * Looks at a change that the leader made meanwhile: a row that got another key takes it along, into the touched ones or
   * out of them. True if there are more of them now.
   */
  join(table: DescribedTable, message: Uint8Array): boolean {
    const touched = this.#tables.get(table.name);
    if (touched === undefined || touched.whole) return false;
    if (this.#keyOf(table).length !== touched.key.length || !this.#isSameForm(table, message)) {
      touched.whole = true;
      return true;
    }
    if (!this.has(table, message)) return false;
    const before = touched.rows.size;
    for (const tuple of this.#tuples(message)) this.#put(table, tuple);
    return touched.rows.size > before || touched.whole;
  }

  #put(table: DescribedTable, tuple: Tuple): void {
    const touched = this.#of(table);
    if (touched.whole) return;
    const key = this.#keyOf(table);
    const form = formOf(tuple, key);
    if (form === undefined || form !== (this.#forms.get(table.name) ?? form)) {
      touched.whole = true;
      return;
    }
    this.#forms.set(table.name, form);
    const id = this.#idOf(table, tuple);
    if (touched.rows.has(id)) return;
    touched.rows.set(
      id,
      key.map((column) => valueAt(this.#row.bytes, tuple, column)),
    );
  }

  #isSameForm(table: DescribedTable, message: Uint8Array): boolean {
    const known = this.#forms.get(table.name);
    const key = this.#keyOf(table);
    return this.#tuples(message).every((tuple) => formOf(tuple, key) === known);
  }

  /** The rows that a message names: the one before, if it had another key, and the one after. Valid until the next call. */
  #tuples(message: Uint8Array): readonly Tuple[] {
    const row = this.#row;
    row.read(message, 0, message.length);
    const { before, after, old } = row;
    const [isGone, isThere] = [old !== 0, row.tag !== 0x44];
    return [...(isGone ? [before] : []), ...(isThere ? [after] : [])];
  }

  #idOf(table: DescribedTable, tuple: Tuple): string {
    return keyOf(this.#row.bytes, tuple, this.#keyOf(table));
  }

  #of(table: DescribedTable): TouchedTable {
    const known = this.#tables.get(table.name);
    if (known !== undefined) return known;
    const key = this.#keyOf(table).map((column) => table.relation.columns[column]!.name);
    const touched: TouchedTable = { table, key, whole: key.length === 0, rows: new Map() };
    this.#tables.set(table.name, touched);
    return touched;
  }

  #keyOf(table: DescribedTable): readonly number[] {
    const known = this.#keys.get(table);
    if (known !== undefined) return known;
    const { columns, identity } = table.relation;
    const primary = identity === 'full' ? this.#primary(table) : [];
    const isKey = ({ key, name }: { key: boolean; name: string }) =>
      identity === 'full' ? primary.includes(name) : key;
    const key = columns
      .map((_, column) => column)
      .filter((column) => isKey(columns[column]!))
      .toSorted((a, b) => (columns[a]!.name < columns[b]!.name ? -1 : 1));
    this.#keys.set(table, key);
    return key;
  }
}

/** The form of a key's values, column by column; undefined where one is not there. */
function formOf({ kinds, count }: Tuple, key: readonly number[]): string | undefined {
  let form = '';
  for (const column of key) {
    const kind = column < count ? kinds[column]! : NULL;
    if (kind === NULL || kind === UNCHANGED) return undefined;
    form += String.fromCharCode(kind);
  }
  return form;
}
