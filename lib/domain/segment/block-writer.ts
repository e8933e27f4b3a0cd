import { crc32c } from '@node-rs/crc32';
import type { ChangeRecord } from '#lib/domain/change.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { Block } from '#lib/domain/segment/footer.ts';
import {
  BLOCK_HEADER_BYTES,
  CRC_BYTES,
  compressBlock,
  crcOf,
  MAX_BLOCK_BYTES,
  MAX_NAMES,
} from '#lib/domain/segment/format.ts';
import {
  ALL_DIGITS,
  BODIES_AT,
  EARLIER,
  ELSEWHERE,
  HAS_AFTER,
  HAS_BEFORE,
  KIND_CODES,
  MAX_FRAME_BYTES,
  MAX_SEQUENCE_DIGITS,
  TAIL_DIGITS,
} from '#lib/domain/segment/frame.ts';

/** What a block with one record has beside its body, at most. */
export const MAX_OVERHEAD_BYTES = BODIES_AT + MAX_FRAME_BYTES;
const DECIMAL = /^[0-9]{1,64}$/;
/** Below this many bytes a loop copies quicker than a call does. */
const SHORT_BYTES = 24;

/** Collects the records of one block after another. */
export class BlockWriter {
  #bodies = Buffer.allocUnsafe(16 << 10);
  #bodiesEnd = BODIES_AT;
  #frames = Buffer.allocUnsafe(4 << 10);
  #framesEnd = 0;
  #count = 0;
  #minMs = Number.POSITIVE_INFINITY;
  #maxMs = 0;
  /** What the last frame leaves for the next. */
  #table = 0;
  #shard = 0;
  /** The last sequence in ASCII, and how many digits of it the next one shares. */
  readonly #digits = new Uint8Array(MAX_SEQUENCE_DIGITS);
  #digitCount = 0;
  #shared = 0;
  #commitMs = 0;

  /** Bytes so far, before compression; 0 for no record. */
  get rawBytes(): number {
    return this.#count === 0 ? 0 : this.#bodiesEnd + this.#framesEnd;
  }

  /** Throws CAPTURE_RECORD_REJECTED, and takes nothing, if a field is out of range. */
  put(record: ChangeRecord, bytes: number): void {
    const { table, shard, sequence, commitMs, key, after, before } = record;
    if (!isIndex(table) || !isIndex(shard)) throw rejected('has a table or shard out of range');
    if (!Number.isSafeInteger(commitMs) || commitMs < 0) throw rejected('has no valid commit time');
    const growth = this.#growth(sequence);
    if (growth < 0 && !DECIMAL.test(sequence)) {
      throw rejected(`has a sequence that is not a number of 1 to ${MAX_SEQUENCE_DIGITS} digits`);
    }
    const distance = commitMs - this.#commitMs;
    const elsewhere = table !== this.#table || shard !== this.#shard;

    let at = this.#framesEnd;
    if (at + MAX_FRAME_BYTES > this.#frames.length) this.#frames = grown(this.#frames, at, MAX_FRAME_BYTES);
    const frames = this.#frames;
    frames[at++] =
      KIND_CODES[record.kind] |
      (after === undefined ? 0 : HAS_AFTER) |
      (before === undefined ? 0 : HAS_BEFORE) |
      (elsewhere ? ELSEWHERE : 0) |
      (distance < 0 ? EARLIER : 0) |
      (growth < 0 ? ALL_DIGITS : 0);
    if (elsewhere) {
      at = putVarint(frames, at, table);
      at = putVarint(frames, at, shard);
    }
    if (growth < 0) at = putDigits(frames, at, sequence);
    else at = putVarint(frames, at, growth);
    at = putVarint(frames, at, distance < 0 ? -distance : distance);
    at = putVarint(frames, at, key.length);
    if (after !== undefined) at = putVarint(frames, at, after.length);
    if (before !== undefined) at = putVarint(frames, at, before.length);
    this.#framesEnd = at;

    let end = this.#bodiesEnd;
    if (end + bytes > this.#bodies.length) this.#bodies = grown(this.#bodies, end, bytes);
    end = putBytes(this.#bodies, end, key);
    if (after !== undefined) end = putBytes(this.#bodies, end, after);
    if (before !== undefined) end = putBytes(this.#bodies, end, before);
    this.#bodiesEnd = end;

    this.#count += 1;
    if (commitMs < this.#minMs) this.#minMs = commitMs;
    if (commitMs > this.#maxMs) this.#maxMs = commitMs;
    this.#table = table;
    this.#shard = shard;
    for (let index = this.#shared; index < sequence.length; index += 1) this.#digits[index] = sequence.charCodeAt(index);
    this.#digitCount = sequence.length;
    this.#commitMs = commitMs;
  }

  /** The block as it is stored, with its line of the index; the writer is empty again. */
  end(): { readonly stored: readonly Buffer[]; readonly block: Block } {
    const rawBytes = this.rawBytes;
    this.#bodies.writeUInt32LE(this.#bodiesEnd - BODIES_AT, 0);
    if (rawBytes > this.#bodies.length) this.#bodies = grown(this.#bodies, this.#bodiesEnd, this.#framesEnd);
    this.#bodies.set(this.#frames.subarray(0, this.#framesEnd), this.#bodiesEnd);
    const frame = compressBlock(this.#bodies.subarray(0, rawBytes));
    const block = {
      storedBytes: frame.length,
      rawBytes,
      count: this.#count,
      minCommitMs: this.#minMs,
      maxCommitMs: this.#maxMs,
    };
    const header = Buffer.allocUnsafe(BLOCK_HEADER_BYTES);
    header.writeUInt32LE(block.storedBytes, 4);
    header.writeUInt32LE(block.rawBytes, 8);
    header.writeUInt32LE(block.count, 12);
    header.writeUInt32LE(crc32c(frame, crc32c(header.subarray(CRC_BYTES))), 0);
    this.#clear();
    return { stored: [header, frame], block };
  }

  /** By how much `sequence` is more than the last one; negative if a distance between tails can't say it. */
  #growth(sequence: string): number {
    const length = sequence.length;
    const digits = this.#digits;
    let index = 0;
    if (length === this.#digitCount) {
      while (index < length && sequence.charCodeAt(index) === digits[index]) index += 1;
    }
    this.#shared = index;
    if (length !== this.#digitCount || length === 0 || length - index > TAIL_DIGITS) return -1;
    let growth = 0;
    for (; index < length; index += 1) {
      const digit = sequence.charCodeAt(index);
      if (digit < 0x30 || digit > 0x39) return -1;
      growth = growth * 10 + digit - digits[index]!;
    }
    return growth;
  }

  #clear(): void {
    this.#bodiesEnd = BODIES_AT;
    this.#framesEnd = 0;
    this.#count = 0;
    this.#minMs = Number.POSITIVE_INFINITY;
    this.#maxMs = 0;
    this.#table = 0;
    this.#shard = 0;
    this.#digitCount = 0;
    this.#commitMs = 0;
  }
}

/** Bytes of a record's body. Throws CAPTURE_RECORD_REJECTED if no block can hold it. */
export function bodyBytes({ key, after, before }: ChangeRecord): number {
  let bytes = key.length;
  if (after !== undefined) bytes += after.length;
  if (before !== undefined) bytes += before.length;
  if (bytes > MAX_BLOCK_BYTES - MAX_OVERHEAD_BYTES) throw rejected('is larger than 16 MiB');
  return bytes;
}

/** A copy of the first `end` bytes with room for `more` at least. */
function grown(buffer: Buffer, end: number, more: number): Buffer<ArrayBuffer> {
  const copy = Buffer.allocUnsafe(Math.max(end + more, buffer.length * 2));
  copy.set(buffer.subarray(0, end));
  return copy;
}

function putVarint(out: Buffer, at: number, value: number): number {
  if (value < 0x80) {
    out[at] = value;
    return at + 1;
  }
  if (value < 0x4000) {
    out[at] = (value & 0x7f) | 0x80;
    out[at + 1] = value >>> 7;
    return at + 2;
  }
  out[at] = (value % 0x80) | 0x80;
  return putVarint(out, at + 1, Math.floor(value / 0x80));
}

function putDigits(out: Buffer, start: number, digits: string): number {
  out[start] = digits.length;
  for (let index = 0; index < digits.length; index += 1) out[start + 1 + index] = digits.charCodeAt(index);
  return start + 1 + digits.length;
}

function putBytes(out: Buffer, at: number, bytes: Uint8Array): number {
  if (bytes.length >= SHORT_BYTES) out.set(bytes, at);
  else for (let index = 0; index < bytes.length; index += 1) out[at + index] = bytes[index]!;
  return at + bytes.length;
}

function isIndex(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < MAX_NAMES;
}

function rejected(what: string): UnderstudyError {
  return new UnderstudyError(
    'CAPTURE_RECORD_REJECTED',
    `A record ${what}`,
    'Look at the record at the source; it cannot be replicated as it is.',
  );
}
