import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { crc32c } from '@node-rs/crc32';
import { UnderstudyError } from '#lib/domain/errors.ts';

/*
 * A segment object, version 1. Fixed-size integers are little-endian; "varint" is LEB128 of at most 53 bits;
 * every CRC is CRC-32C. Each byte is under a CRC or compared with a constant, so no flipped bit goes unseen.
 *
 *   preamble  magic (8) | version u16 | header length u32 | total length u32 | CRC of all that
 *   header    see header.ts | CRC of the header
 *   block ... CRC of the rest of the block | stored length u32 | raw length u32 | record count u32 | zstd frame
 *   footer    see footer.ts
 *   trailer   footer length u32 | total length u32 | CRC of the footer and the two lengths | end magic (8)
 *
 * The preamble is the same in every version, past and future, and its version is believed only if its CRC
 * matches: a flipped bit there is corruption, which another copy heals, not a newer format, which none does.
 * The total length stands in front so that a truncated object is told apart from a corrupt one.
 */
export const MAGIC = Buffer.from('UNDRSTDY', 'latin1');
export const END_MAGIC = Buffer.from('YDTSRDNU', 'latin1');
export const VERSION = 1;
export const CRC_BYTES = 4;
export const PREAMBLE_BYTES = 22;
export const BLOCK_HEADER_BYTES = 16;
export const TRAILER_BYTES = 20;

/** Records in one segment. */
export const MAX_RECORDS = 10_000_000;
/** Bytes of records in one segment, before compression. */
export const MAX_RAW_BYTES = 256 << 20;
/** Bytes of one block before compression, and thus of one record. */
export const MAX_BLOCK_BYTES = 16 << 20;
/** The same for a block of more than one record: it bounds what decoding one may allocate. */
export const MAX_SHARED_BLOCK_BYTES = 1 << 20;
/** Entries in the list of tables, and in that of shards. */
export const MAX_NAMES = 65_536;
/** UTF-8 bytes of a group, table or shard name. */
export const MAX_NAME_BYTES = 1024;
export const MAX_SCHEMA_BYTES = 16 << 20;

/** One zstd frame, level 1. Same bytes in, same bytes out. */
export function compressBlock(raw: Uint8Array): Buffer {
  // Room for the worst case lets zstd work in one pass, without buffers of its own.
  return zstdCompressSync(raw, {
    chunkSize: raw.length + (raw.length >>> 8) + 64,
    params: { [constants.ZSTD_c_compressionLevel]: 1 },
  });
}

/** The `rawBytes` bytes that were compressed. Never allocates more than that, whatever `stored` claims. */
export function decompressBlock(stored: Uint8Array, rawBytes: number): Buffer {
  let raw: Buffer;
  try {
    raw = zstdDecompressSync(stored, {
      // One byte to spare: a chunk that is exactly full makes zlib ask for another.
      chunkSize: Math.max(rawBytes + 1, constants.Z_MIN_CHUNK),
      maxOutputLength: rawBytes,
      // A frame may ask for a window of any size: bound it by the largest block.
      params: { [constants.ZSTD_d_windowLogMax]: 24 },
    });
  } catch (cause) {
    throw corrupt('has a block that does not decompress to its length', cause);
  }
  if (raw.length !== rawBytes) throw corrupt('has a block that is shorter than it says');
  return raw;
}

/** CRC-32C of `bytes[start, end)`, or of what has the CRC `before` and these together. */
export function crcOf(bytes: Uint8Array, start: number, end: number, before = 0): number {
  return crc32c(bytes.subarray(start, end), before);
}

/** True if `bytes` hold `constant` at `offset`, as far as they go. */
export function startsWith(bytes: Uint8Array, constant: Uint8Array, offset = 0): boolean {
  return constant.every((byte, index) => offset + index >= bytes.length || bytes[offset + index] === byte);
}

export function corrupt(what: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'SEGMENT_CORRUPT',
    `The segment ${what}`,
    'Fetch it again; if it fails again, restore the object from another replica.',
    cause === undefined ? undefined : { cause },
  );
}

export function torn(have: number, want: number): UnderstudyError {
  return new UnderstudyError(
    'SEGMENT_TORN',
    `The segment has ${have} of ${want} bytes`,
    'Fetch it again; if it stays short, restore the object from another replica.',
  );
}
