import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** Bytes of a name, at most: a server's limit is 63, a prepared transaction's name has 200. */
const MAX_NAME_BYTES = 1024;

/** Reads big-endian fields one after the other; stays within the message whatever it holds. */
export class MessageReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#bytes.readUInt16BE(this.#take(2));
  }

  u32(): number {
    return this.#bytes.readUInt32BE(this.#take(4));
  }

  i32(): number {
    return this.#bytes.readInt32BE(this.#take(4));
  }

  /** A position in the write-ahead log. */
  wal(): bigint {
    return this.#bytes.readBigUInt64BE(this.#take(8));
  }

  /** A time as Unix microseconds; on the wire it counts from the year 2000. */
  time(): bigint {
    return this.#bytes.readBigInt64BE(this.#take(8)) + 946_684_800_000_000n;
  }

  /** Text that ends with a zero. */
  name(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + MAX_NAME_BYTES + 1).indexOf(0);
    if (end < 0) throw malformed('has a name without an end');
    const start = this.#take(end + 1);
    try {
      return utf8.decode(this.#bytes.subarray(start, start + end));
    } catch {
      throw malformed('has a name that is not UTF-8');
    }
  }

  raw(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** Throws unless everything was read. */
  done(): void {
    if (this.left > 0) throw malformed('has bytes that belong to nothing');
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (bytes > this.#bytes.length - at) throw malformed('ends in the middle of a field');
    this.#at = at + bytes;
    return at;
  }
}
