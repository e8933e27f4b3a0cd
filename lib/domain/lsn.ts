import { UnderstudyError } from '#lib/domain/errors.ts';

declare const lsnBrand: unique symbol;
declare const epochBrand: unique symbol;

/** Log sequence number: 64-bit ordinal of a record in a lane's log. The first record is 1; 0 is "nothing yet". */
export type Lsn = bigint & { readonly [lsnBrand]: true };
/** Term of leadership: 32-bit, only ever grows. The first leader has epoch 1; 0 is "nobody yet". */
export type Epoch = number & { readonly [epochBrand]: true };

const LSN_MAX = 0xffff_ffff_ffff_ffffn;
const EPOCH_MAX = 0xffff_ffff;

export const LSN_ZERO = 0n as Lsn;
export const EPOCH_ZERO = 0 as Epoch;

/** Reads an LSN from its wire form, a decimal string, or from a number of any kind. */
export function parseLsn(value: string | bigint | number): Lsn {
  const text = String(value);
  if (/^(0|[1-9]\d{0,19})$/.test(text)) {
    const lsn = BigInt(text);
    if (lsn <= LSN_MAX) return lsn as Lsn;
  }
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${JSON.stringify(text)} is not an LSN`,
    'Give a whole number from 0 to 2^64-1.',
  );
}

export function parseEpoch(value: string | number): Epoch {
  const epoch = Number(value);
  if (/^(0|[1-9]\d{0,9})$/.test(String(value)) && epoch <= EPOCH_MAX) return epoch as Epoch;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${JSON.stringify(value)} is not an epoch`,
    'Give a whole number from 0 to 2^32-1.',
  );
}

/** The epoch after this one. */
export function advanceEpoch(epoch: Epoch): Epoch {
  return parseEpoch(epoch + 1);
}

/** The LSN that lies `records` further on. */
export function advance(lsn: Lsn, records: number | bigint): Lsn {
  const next = lsn + BigInt(records);
  return next >= 0n && next <= LSN_MAX ? (next as Lsn) : parseLsn(next);
}

/** An LSN as 20 digits: orders as text the way the number orders. Used as a sort key. */
export function sortableLsn(lsn: Lsn): string {
  return lsn.toString().padStart(20, '0');
}
