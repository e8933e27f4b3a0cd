import type { ChangeInput } from '#lib/domain/change.ts';
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
  MAX_FRAME_BYTES,
  MAX_SEQUENCE_DIGITS,
  TAIL_DIGITS,
} from '#lib/domain/segment/frame.ts';

/** What a block with one record has beside its body, at most. */
export const MAX_OVERHEAD_BYTES = BODIES_AT + MAX_FRAME_BYTES;
const DECIMAL = /^[0-9]{1,64}$/;

/** Collects the records of one block after another. */
export class BlockWriter {
  /** V8 drops the code that it optimized for a shape once no object has it: this one is always there. */
  static readonly shape = new BlockWriter();
  #bodies = Buffer.allocUnsafe(16 << 10);
  #bodiesEnd = BODIES_AT;
  #frames = Buffer.allocUnsafe(4 << 10);
  #framesEnd = 0;
  #count = 0;
  #minMs = Number.POSITIVE_INFINITY;
  #maxMs = Number.NEGATIVE_INFINITY;
  /** What the last frame leaves for the next. */
  #table = 0;
  #shard = 0;
  #head = '';
  #digits = 0;
  #tail = 0;
  #commitMs = -0;

  /** Bytes so far, before compression; 0 for no record. */
  get rawBytes(): number {
    return this.#count === 0 ? 0 : this.#bodiesEnd + this.#framesEnd;
  }

  /** Throws CAPTURE_RECORD_REJECTED, and takes nothing, if a field is out of range. */
  put(record: ChangeInput, kindCode: number): void {
    const { table, shard, sequence, commitMs, body, keyBytes, afterBytes, beforeBytes } = record;
    const elsewhere = table !== this.#table || shard !== this.#shard;
    if (elsewhere && !(isIndex(table) && isIndex(shard))) {
      throw rejected('has a table or shard out of range');
    }
    if (!Number.isSafeInteger(commitMs) || commitMs < 0) throw rejected('has no valid commit time');
    const tail = tailOf(sequence);
    const grows = tail >= this.#tail && sequence.length === this.#digits && sequence.startsWith(this.#head);
    if (tail < 0 || !(grows || DECIMAL.test(sequence))) {
      throw rejected(`has a sequence that is not a number of 1 to ${MAX_SEQUENCE_DIGITS} digits`);
    }
    const distance = commitMs - this.#commitMs;

    let at = this.#framesEnd;
    if (at + MAX_FRAME_BYTES > this.#frames.length) this.#frames = grown(this.#frames, at, MAX_FRAME_BYTES);
    const frames = this.#frames;
    frames[at++] =
      kindCode |
      (afterBytes === undefined ? 0 : HAS_AFTER) |
      (beforeBytes === undefined ? 0 : HAS_BEFORE) |
      (elsewhere ? ELSEWHERE : 0) |
      (distance < 0 ? EARLIER : 0) |
      (grows ? 0 : ALL_DIGITS);
    if (elsewhere) {
      at = putVarint(frames, at, table);
      at = putVarint(frames, at, shard);
    }
    if (grows) at = putVarint(frames, at, tail - this.#tail);
    else at = putDigits(frames, at, sequence);
    at = putVarint(frames, at, distance < 0 ? -distance : distance);
    at = putVarint(frames, at, keyBytes);
    if (afterBytes !== undefined) at = putVarint(frames, at, afterBytes);
    if (beforeBytes !== undefined) at = putVarint(frames, at, beforeBytes);
    this.#framesEnd = at;

    const end = this.#bodiesEnd + body.length;
    if (end > this.#bodies.length) this.#bodies = grown(this.#bodies, this.#bodiesEnd, body.length);
    this.#bodies.set(body, this.#bodiesEnd);
    this.#bodiesEnd = end;

    this.#count += 1;
    if (commitMs < this.#minMs) this.#minMs = commitMs;
    if (commitMs > this.#maxMs) this.#maxMs = commitMs;
    this.#table = table;
    this.#shard = shard;
    if (!grows) this.#head = sequence.slice(0, -TAIL_DIGITS);
    this.#digits = sequence.length;
    this.#tail = tail;
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
    header.writeUInt32LE(crcOf(frame, 0, frame.length, crcOf(header, CRC_BYTES, BLOCK_HEADER_BYTES)), 0);
    this.#clear();
    return { stored: [header, frame], block };
  }

  #clear(): void {
    this.#bodiesEnd = BODIES_AT;
    this.#framesEnd = 0;
    this.#count = 0;
    this.#minMs = Number.POSITIVE_INFINITY;
    this.#maxMs = Number.NEGATIVE_INFINITY;
    this.#table = 0;
    this.#shard = 0;
    this.#head = '';
    this.#digits = 0;
    this.#tail = 0;
    this.#commitMs = -0;
  }
}

/** Throws CAPTURE_RECORD_REJECTED if no block can hold the body, or if its parts are not all of it. */
export function checkBody({ body, keyBytes, afterBytes = 0, beforeBytes = 0 }: ChangeInput): void {
  if (body.length > MAX_BLOCK_BYTES - MAX_OVERHEAD_BYTES) throw rejected('is larger than 16 MiB');
  if (
    keyBytes < 0 ||
    afterBytes < 0 ||
    beforeBytes < 0 ||
    keyBytes + afterBytes + beforeBytes !== body.length
  ) {
    throw rejected('has a key and images that do not make up its body');
  }
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
  let at = start;
  out[at++] = digits.length;
  for (let index = 0; index < digits.length; index += 1) out[at++] = digits.charCodeAt(index);
  return at;
}

function isIndex(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < MAX_NAMES;
}

/** The tail of a sequence; negative if it has none, or other characters than digits. */
function tailOf(sequence: string): number {
  let tail = sequence === '' ? -1 : 0;
  for (let index = Math.max(0, sequence.length - TAIL_DIGITS); index < sequence.length; index += 1) {
    const digit = sequence.charCodeAt(index) - 0x30;
    if (digit < 0 || digit > 9) return -1;
    tail = Math.imul(tail, 10) + digit;
  }
  return tail;
}

function rejected(what: string): UnderstudyError {
  return new UnderstudyError(
    'CAPTURE_RECORD_REJECTED',
    `A record ${what}`,
    'Look at the record at the source; it cannot be replicated as it is.',
  );
}
