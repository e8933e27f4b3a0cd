import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';

/** Columns of a table, at most: PostgreSQL's own limit for a tuple. */
export const MAX_COLUMNS = 1664;

export const INSERT = 0x49;
export const UPDATE = 0x55;
export const DELETE = 0x44;

/** How a column's value stands in a tuple. `unchanged`: an oversized value that the update left alone. */
export const NULL = 0x6e;
export const UNCHANGED = 0x75;
export const TEXT = 0x74;
export const BINARY = 0x62;

const NEW_TUPLE = 0x4e;
/** The old tuple holds the key alone, or all columns. */
export const OLD_KEY = 0x4b;
export const OLD_ROW = 0x4f;

/** The columns of a tuple: their kinds, and where their values lie in the message's buffer. */
export class Tuple {
  count = 0;
  readonly kinds = new Uint8Array(MAX_COLUMNS);
  readonly starts = new Uint32Array(MAX_COLUMNS);
  readonly ends = new Uint32Array(MAX_COLUMNS);

  /** Walks the tuple that begins at `start`; returns where it ends, which is not beyond `end`. */
  walk(bytes: Uint8Array, start: number, end: number): number {
    if (start + 2 > end) throw malformed('ends in the middle of a tuple');
    const count = (bytes[start]! << 8) | bytes[start + 1]!;
    if (count > MAX_COLUMNS) throw malformed(`has a tuple of ${count} columns`);
    const { kinds, starts, ends } = this;
    let at = start + 2;
    for (let column = 0; column < count; column += 1) {
      if (at >= end) throw malformed('ends in the middle of a tuple');
      const kind = bytes[at]!;
      at += 1;
      kinds[column] = kind;
      if (kind === TEXT || kind === BINARY) {
        if (at + 4 > end) throw malformed('ends in the middle of a tuple');
        const length =
          ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
        at += 4;
        starts[column] = at;
        at += length;
        if (at > end) throw malformed('has a value that is longer than itself');
        ends[column] = at;
      } else if (kind === NULL || kind === UNCHANGED) {
        starts[column] = at;
        ends[column] = at;
      } else throw malformed('has a column of an unknown kind');
    }
    this.count = count;
    return at;
  }
}

/**
 * The change of one row, read in place: a cursor that is itself the message on which it stands. Nothing is
 * allocated per message; all of it is checked before any of it can be taken.
 */
export class RowChange {
  bytes: Uint8Array = new Uint8Array();
  /** INSERT, UPDATE or DELETE. */
  tag = 0;
  /** OID of the table, at the leader. */
  relation = 0;
  /** OLD_KEY or OLD_ROW if `before` is there, else 0. */
  old = 0;
  readonly before = new Tuple();
  /** Not for deletes. */
  readonly after = new Tuple();

  /**
   * Goes to the message that fills `bytes[start, end)`.
   *
   * @param streamed true between Stream Start and Stream Stop, where messages bear a transaction's number.
   *
   * Throws PGOUTPUT_MALFORMED.
   */
  read(bytes: Uint8Array, start: number, end: number, streamed = false): void {
    let at = start + (streamed ? 5 : 1);
    if (at + 5 > end) throw malformed('ends in the middle of a row');
    const tag = bytes[start]!;
    if (tag !== INSERT && tag !== UPDATE && tag !== DELETE) throw malformed('is not the change of a row');
    this.bytes = bytes;
    this.tag = tag;
    this.relation =
      ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
    at += 4;
    this.old = 0;
    let part = bytes[at]!;
    at += 1;
    if (tag !== INSERT && (part === OLD_KEY || part === OLD_ROW)) {
      this.old = part;
      at = this.before.walk(bytes, at, end);
      if (tag === UPDATE) {
        if (at >= end) throw malformed('has no new row');
        part = bytes[at]!;
        at += 1;
      }
    } else if (tag === DELETE) throw malformed('deletes a row without its key');
    if (tag !== DELETE) {
      if (part !== NEW_TUPLE) throw malformed('has no new row');
      at = this.after.walk(bytes, at, end);
    }
    if (at !== end) throw malformed('has bytes that belong to nothing');
  }
}

/** OID of the table of a row's message, without a look at the rest. */
export function relationOf(message: Uint8Array, start: number, end: number): number {
  if (start + 5 > end) throw malformed('ends in the middle of a row');
  const at = start + 1;
  return ((message[at]! << 24) | (message[at + 1]! << 16) | (message[at + 2]! << 8) | message[at + 3]!) >>> 0;
}
