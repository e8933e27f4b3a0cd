import { corrupt, MAX_NAME_BYTES } from '#lib/domain/segment/format.ts';
import { MAX_SEQUENCE_DIGITS } from '#lib/domain/segment/frame.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads what ByteWriter wrote. Whatever the bytes hold, it stays within them and fails with SEGMENT_CORRUPT. */
export class ByteReader {
  /** V8 drops the code that it optimized for a shape once no object has it: this one is always there. */
  static readonly shape = new ByteReader(Buffer.alloc(0));
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#end = bytes.length;
  }

  /** Bytes not yet read. */
  get left(): number {
    return this.#end - this.#at;
  }

  u8(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw corrupt('ends in the middle of a field');
    this.#at += 1;
    return byte;
  }

  varint(): number {
    const value = varintAt(this.#bytes, this.#at);
    this.#at += varintBytes(value);
    return value;
  }

  /** A varint of at most `limit`. */
  upTo(limit: number): number {
    const value = this.varint();
    if (value > limit) throw corrupt('holds a number out of range');
    return value;
  }

  /** The number of elements that follow, of at least `size` bytes each: known to fit before any is allocated. */
  count(limit: number, size: number): number {
    return this.upTo(Math.min(limit, Math.floor(this.left / size)));
  }

  /** A view of the next `length` bytes. */
  raw(length: number): Uint8Array {
    if (length > this.#end - this.#at) throw corrupt('ends in the middle of a field');
    const view = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return view;
  }

  /** A view of bytes that follow their length. */
  bytes(limit: number): Uint8Array {
    return this.raw(this.upTo(limit));
  }

  name(): string {
    const bytes = this.bytes(MAX_NAME_BYTES);
    try {
      return utf8.decode(bytes);
    } catch (cause) {
      throw corrupt('holds a name that is not UTF-8', cause);
    }
  }

  /** ASCII digits that follow their number: the sequence of a record. */
  sequence(): string {
    const digits = this.upTo(MAX_SEQUENCE_DIGITS);
    if (digits === 0) throw corrupt('has a record without a sequence');
    const text = Buffer.from(this.raw(digits)).toString('latin1');
    if (!/^[0-9]+$/.test(text)) throw corrupt('has a sequence that is not a decimal number');
    return text;
  }

  /** Throws unless everything was read. */
  done(): void {
    if (this.left > 0) throw corrupt('has bytes that belong to nothing');
  }
}

/** The varint at `at`, which is in its one shortest form: `varintBytes` of its value long. */
export function varintAt(bytes: Uint8Array, start: number): number {
  let value = 0;
  let at = start;
  for (let unit = 1; unit < 2 ** 56; unit *= 0x80) {
    const byte = bytes[at++];
    if (byte === undefined) throw corrupt('ends in the middle of a field');
    value += (byte & 0x7f) * unit;
    if (value > Number.MAX_SAFE_INTEGER) break;
    if (byte >= 0x80) continue;
    if (byte === 0 && unit > 1) throw corrupt('holds a number in more bytes than it needs');
    return value;
  }
  throw corrupt('holds a number that is too large');
}

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let limit = 0x80; value >= limit; limit *= 0x80) bytes += 1;
  return bytes;
}
