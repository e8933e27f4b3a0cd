import {
  DELETE,
  INSERT,
  NULL,
  OLD_KEY,
  RowChange,
  type Tuple,
  UNCHANGED,
  UPDATE,
} from '#lib/engines/postgres/pgoutput/row-change.ts';
import { keyOf } from '#lib/engines/postgres/row-key.ts';
import type { TargetTable } from '#lib/engines/postgres/target-table.ts';
import { WireBuffer } from '#lib/engines/postgres/wire-buffer.ts';

/** The one thing that a run of changes comes to for a row, as a native message. */
export type NetChange = { tag: number; message: Uint8Array };

/**
 * What a run of changes of one table comes to: one change a row, whatever the run did to it in between. Rows are told
 * apart by their key's bytes; a change that does not fit in must be preceded by all that is here (see `add`).
 */
export class NetChanges {
  readonly target: TargetTable;
  readonly rows = new Map<string, NetChange>();
  /** Inserts into a table whose rows have no key. */
  readonly appended: Uint8Array[] = [];
  /** In which form keys are here: binary or text; 0 for none yet. */
  #keyKind = 0;

  constructor(target: TargetTable) {
    this.target = target;
  }

  get isEmpty(): boolean {
    return this.rows.size === 0 && this.appended.length === 0;
  }

  clear(): void {
    this.rows.clear();
    this.appended.length = 0;
    this.#keyKind = 0;
  }

  /**
   * Adds the change on which `change` stands. False if it can't be added: then what is here is to be written, and the
   * change by itself after it. False also for what can't follow on what is here, so that the database may judge.
   */
  add(change: RowChange, message: Uint8Array): boolean {
    const { key } = this.target;
    const { tag, bytes, before, after, old } = change;
    if (key.length === 0) {
      if (tag !== INSERT) return false;
      this.appended.push(message);
      return true;
    }
    if (tag === DELETE) return this.#fits(before) && this.#delete(keyOf(bytes, before, key), message);
    if (!this.#fits(after)) return false;
    const row = keyOf(bytes, after, key);
    if (tag === INSERT) return this.#insert(row, message);
    if (old === 0) return this.#update(row, change, message);
    if (!this.#fits(before)) return false;
    const former = keyOf(bytes, before, key);
    if (former === row) return this.#update(row, change, message);
    return this.#move(former, row, change);
  }

  /** Keys in two forms could name one row under two names. */
  #fits({ kinds, count }: Tuple): boolean {
    for (const column of this.target.key) {
      const kind = column < count ? kinds[column]! : NULL;
      if (kind === NULL || kind === UNCHANGED) return false;
      if (this.#keyKind === 0) this.#keyKind = kind;
      else if (this.#keyKind !== kind) return false;
    }
    return true;
  }

  #insert(row: string, message: Uint8Array): boolean {
    const known = this.rows.get(row);
    if (known === undefined) {
      this.rows.set(row, { tag: INSERT, message });
      return true;
    }
    if (known.tag !== DELETE) return false;
    known.tag = UPDATE;
    known.message = message;
    return true;
  }

  #delete(row: string, message: Uint8Array): boolean {
    const known = this.rows.get(row);
    if (known === undefined) {
      this.rows.set(row, { tag: DELETE, message });
      return true;
    }
    if (known.tag === DELETE) return false;
    if (known.tag === INSERT) this.rows.delete(row);
    else {
      known.tag = DELETE;
      known.message = message;
    }
    return true;
  }

  #update(row: string, change: RowChange, message: Uint8Array): boolean {
    const known = this.rows.get(row);
    if (known === undefined) {
      this.rows.set(row, { tag: UPDATE, message });
      return true;
    }
    if (known.tag === DELETE) return false;
    known.message = merged(known.message, change, message);
    return true;
  }

  /** A row gets another key: it goes, and comes under the new one, unless not all of it is known. */
  #move(former: string, row: string, change: RowChange): boolean {
    const known = this.rows.get(former);
    const there = this.rows.get(row);
    if (known?.tag === DELETE || (there !== undefined && there.tag !== DELETE)) return false;
    const whole = known === undefined ? arrival(change) : arrival(change, known.message);
    if (whole === undefined) return false;
    if (known?.tag === INSERT) this.rows.delete(former);
    else this.rows.set(former, { tag: DELETE, message: departure(change) });
    if (there === undefined) this.rows.set(row, { tag: INSERT, message: whole });
    else {
      there.tag = UPDATE;
      there.message = whole;
    }
    return true;
  }
}

const former = new RowChange();

/** The row after `change`, with what it left alone taken from the message before it. */
function merged(before: Uint8Array, change: RowChange, message: Uint8Array): Uint8Array {
  if (!hasUnchanged(change.after)) return message;
  former.read(before, 0, before.length);
  return rowMessage(UPDATE, change, { bytes: before, tuple: former.after });
}

/** An insert of the row after `change`; undefined where a value is known neither from it nor from `before`. */
function arrival(change: RowChange, before?: Uint8Array): Uint8Array | undefined {
  const { after, old, bytes } = change;
  if (!hasUnchanged(after)) return rowMessage(INSERT, change);
  let left: Source;
  if (before !== undefined) {
    former.read(before, 0, before.length);
    left = { bytes: before, tuple: former.after };
    // The old row of a table whose identity is the full row holds what the update left alone.
  } else if (old !== OLD_KEY) left = { bytes, tuple: change.before };
  else return undefined;
  for (let column = 0; column < after.count; column += 1) {
    if (after.kinds[column] === UNCHANGED && left.tuple.kinds[column] === UNCHANGED) return undefined;
  }
  return rowMessage(INSERT, change, left);
}

function departure({ bytes, relation, old, before }: RowChange): Uint8Array {
  const out = begin(DELETE, relation);
  out.u8(old);
  out.u16(before.count);
  for (let column = 0; column < before.count; column += 1) putColumn(out, bytes, before, column);
  return Buffer.from(out.view());
}

/** Where the values are that a change left alone. */
type Source = { readonly bytes: Uint8Array; readonly tuple: Tuple };

function rowMessage(tag: number, change: RowChange, left?: Source): Uint8Array {
  const { bytes, relation, after } = change;
  const out = begin(tag, relation);
  out.u8(0x4e);
  out.u16(after.count);
  for (let column = 0; column < after.count; column += 1) {
    if (left !== undefined && after.kinds[column] === UNCHANGED)
      putColumn(out, left.bytes, left.tuple, column);
    else putColumn(out, bytes, after, column);
  }
  return Buffer.from(out.view());
}

function begin(tag: number, relation: number): WireBuffer {
  const out = new WireBuffer(256);
  out.u8(tag);
  out.u32(relation);
  return out;
}

function putColumn(out: WireBuffer, bytes: Uint8Array, { kinds, starts, ends }: Tuple, column: number): void {
  const kind = kinds[column]!;
  out.u8(kind);
  if (kind === NULL || kind === UNCHANGED) return;
  const start = starts[column]!;
  const end = ends[column]!;
  out.u32(end - start);
  out.raw(bytes, start, end);
}

function hasUnchanged({ count, kinds }: Tuple): boolean {
  for (let column = 0; column < count; column += 1) if (kinds[column] === UNCHANGED) return true;
  return false;
}
