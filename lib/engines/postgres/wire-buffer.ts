/** A buffer that grows as big-endian fields are put at its end: what PostgreSQL's binary forms are made of. */
export class WireBuffer {
  #bytes: Buffer;
  #length = 0;

  constructor(capacity = 1024) {
    this.#bytes = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  u16(value: number): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = value >>> 8;
    this.#bytes[this.#length++] = value;
  }

  u32(value: number): void {
    this.#reserve(4);
    const at = this.#length;
    this.#bytes[at] = value >>> 24;
    this.#bytes[at + 1] = value >>> 16;
    this.#bytes[at + 2] = value >>> 8;
    this.#bytes[at + 3] = value;
    this.#length = at + 4;
  }

  /** Copies `from[start, end)`. */
  raw(from: Uint8Array, start: number, end: number): void {
    const bytes = end - start;
    this.#reserve(bytes);
    const to = this.#bytes;
    let at = this.#length;
    this.#length += bytes;
    // A call costs more than the copy of a few bytes.
    if (bytes <= 24) for (let i = start; i < end; i += 1) to[at++] = from[i]!;
    else to.set(from.subarray(start, end), at);
  }

  /** What was put so far: a view that the next `put` may invalidate. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
