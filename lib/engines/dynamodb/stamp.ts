import { crc32c } from '@node-rs/crc32';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/** Name of the one attribute that each replicated item carries. It never reaches the log or a digest. */
export const STAMP_ATTRIBUTE = '_understudy';

/** 28 bytes of each item: the attribute's name and its value. */
export const STAMP_COST = STAMP_ATTRIBUTE.length + 17;

const WRITTEN = 0;
const DELETED = 1;

/**
 * The value of the reserved attribute, 17 bytes: epoch (4), LSN (8), 1 if the applier is about to delete the
 * item (1), CRC-32C of the key (4); big-endian, so that bytewise order, which is how DynamoDB compares binary
 * values, is the order of (epoch, LSN). The CRC ties the stamp to its item: an application that copies an
 * item under another key copies the stamp too, and that write is still a local one.
 */
export function stampOf(epoch: Epoch, lsn: Lsn, key: Uint8Array, deleting = false): Uint8Array {
  const bytes = Buffer.allocUnsafe(17);
  bytes.writeUInt32BE(epoch, 0);
  // Two halves: writing a bigint is several times slower, and this runs once a record.
  bytes.writeUInt32BE(Number(lsn >> 32n), 4);
  bytes.writeUInt32BE(Number(lsn & 0xffff_ffffn), 8);
  bytes[12] = deleting ? DELETED : WRITTEN;
  bytes.writeUInt32BE(crc32c(key), 13);
  return bytes;
}

/** Reads (epoch, LSN) back. */
export function readStamp(stamp: Uint8Array): { epoch: Epoch; lsn: Lsn } {
  const bytes = Buffer.from(stamp.buffer, stamp.byteOffset, stamp.byteLength);
  return { epoch: bytes.readUInt32BE(0) as Epoch, lsn: bytes.readBigUInt64BE(4) as Lsn };
}

/** Negative, zero or positive: bytewise, as DynamoDB compares. */
export function compareStamps(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

/**
 * Who made a change, from its images alone: an applied write changes the stamp to a valid one for that key, a
 * local write leaves it, drops it, or carries one of another key; an applied delete marks the item first.
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
  if (after === undefined) {
    return bytesOf(old, key)?.[12] === DELETED ? 'applied' : 'local';
  }
  const stamp = bytesOf(now, key);
  if (stamp === undefined) return 'local';
  const earlier = bytesOf(old, key);
  return earlier !== undefined && compareStamps(earlier, stamp) === 0 ? 'local' : 'applied';
}

function bytesOf(value: AttributeValue | undefined, key: Uint8Array): Buffer | undefined {
  if (value === undefined || !('B' in value)) return undefined;
  const bytes = typeof value.B === 'string' ? Buffer.from(value.B, 'base64') : Buffer.from(value.B);
  return bytes.length === 17 && bytes.readUInt32BE(13) === crc32c(key) ? bytes : undefined;
}
