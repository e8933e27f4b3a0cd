import type { ChangeKind } from '#lib/domain/change.ts';
import type { Relation } from '#lib/engines/postgres/pgoutput/decode-message.ts';

/** A table as it was when its rows changed, with the server's own words for it. */
export type DescribedTable = {
  readonly name: string;
  readonly relation: Relation;
  /** The native Relation message, and the Type messages of its columns' types that are not built in. */
  readonly message: Uint8Array;
  readonly types: readonly Uint8Array[];
};

/** A change as a slot delivers it: native bytes, and what the log has to know of them. */
export type CapturedChange = {
  readonly kind: ChangeKind;
  /** The tables that the bytes refer to; that of a commit is the one of the change before it. */
  readonly tables: readonly DescribedTable[];
  /** WAL position of the transaction's commit and ordinal in the transaction: grows within a slot. */
  readonly sequence: string;
  readonly commitMs: number;
  /** The moment of a heartbeat, Unix ms; undefined for all else. */
  readonly beatMs: number | undefined;
  readonly bytes: Uint8Array;
};

/** Digits of the ordinal at the end of a sequence. */
export const ORDINAL_DIGITS = 10;

/** WAL position at which the transaction of a record committed. */
export function commitLsnOf(sequence: string): bigint {
  return BigInt(sequence.slice(0, -ORDINAL_DIGITS) || '0');
}

/** A WAL position as PostgreSQL writes it, such as 0/16B3748. */
export function walText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

export function parseWal(text: string): bigint {
  const [high = '0', low = '0'] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}
