import { crc32c } from '@node-rs/crc32';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/** Name of the one attribute that each replicated item carries. It never reaches the log or a digest. */
export const STAMP_ATTRIBUTE = '_understudy';

const STAMP_BYTES = 17;

/** 28 bytes of each item: the attribute's name and its value. */
export const STAMP_COST = STAMP_ATTRIBUTE.length + STAMP_BYTES;

/** A mark orders before a write of the same LSN: a snapshot that finds the item at the leader takes the mark back. */
const DELETED = 0;
const WRITTEN = 1;

/**
 * The value of the reserved attribute, 17 bytes: CRC-32C of the key (4), epoch (4), LSN (8), 0 if the applier is
 * about to delete the item, else 1 (1); big-endian, so that bytewise order, which is how DynamoDB compares binary
 * values, is the order of (epoch, LSN) among the stamps of a key. The CRC ties the stamp to its item: an
 * application that copies an item under another key copies the stamp too, and that write is still a local one. It
 * stands in front so that a store can tell by comparing: what does not begin with it is no stamp of that item.
 */
export function stampOf(epoch: Epoch, lsn: Lsn, key: Uint8Array, deleting = false): Uint8Array {
  const bytes = Buffer.allocUnsafe(STAMP_BYTES);
  bytes.writeUInt32BE(crc32c(key), 0);
  bytes.writeUInt32BE(epoch, 4);
  if (lsn > Number.MAX_SAFE_INTEGER) {
    bytes.writeBigUInt64BE(lsn, 8);
  } else {
    // In two halves: writing a bigint is several times slower, and this runs once a record.
    const number = Number(lsn);
    bytes.writeUInt32BE(Math.floor(number / 2 ** 32), 8);
    bytes.writeUInt32BE(number % 2 ** 32, 12);
  }
  bytes[16] = deleting ? DELETED : WRITTEN;
  return bytes;
}

/** Reads (epoch, LSN) back. */
export function readStamp(stamp: Uint8Array): { epoch: Epoch; lsn: Lsn } {
  const bytes = Buffer.from(stamp.buffer, stamp.byteOffset, stamp.byteLength);
  return { epoch: bytes.readUInt32BE(4) as Epoch, lsn: bytes.readBigUInt64BE(8) as Lsn };
}

/** Negative, zero or positive: bytewise, as DynamoDB compares. Both are stamps of one key. */
export function compareStamps(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/** True if an applier has written this stamp, and has written it to the item of that key. */
export function isStampOf(stamp: Uint8Array, key: Uint8Array): boolean {
  if (stamp.length !== STAMP_BYTES) return false;
  return new DataView(stamp.buffer, stamp.byteOffset).getUint32(0) === crc32c(key);
}

/** True for the stamp of an item that an applier is about to delete. */
export function isMark(stamp: Uint8Array): boolean {
  return stamp[16] === DELETED;
}

/**
 * Who made a change, from its images alone: an applied write raises the stamp to a later one of that key, a local
 * write leaves it, drops it, or carries an earlier one or one of another key; an applied delete marks the item
 * first.
 */
export function originOf(
  key: Uint8Array,
  before: Item | undefined,
  after: Item | undefined,
): 'applied' | 'local' {
  // The hot path of a leader: no stamp anywhere.
  const old = before?.[STAMP_ATTRIBUTE];
  const now = after?.[STAMP_ATTRIBUTE];
  if (old === undefined && now === undefined) return 'local';
  const earlier = bytesOf(old, key);
  if (after === undefined) return earlier !== undefined && isMark(earlier) ? 'applied' : 'local';
  const stamp = bytesOf(now, key);
  if (stamp === undefined) return 'local';
  return earlier === undefined || compareStamps(earlier, stamp) < 0 ? 'applied' : 'local';
}

function bytesOf(value: AttributeValue | undefined, key: Uint8Array): Uint8Array | undefined {
  if (value === undefined || !('B' in value)) return undefined;
  const bytes = typeof value.B === 'string' ? Buffer.from(value.B, 'base64') : value.B;
  return isStampOf(bytes, key) ? bytes : undefined;
}
