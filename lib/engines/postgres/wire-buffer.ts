import { GrowingBuffer } from '#lib/domain/growing-buffer.ts';

/** A buffer that grows as big-endian fields are put at its end: what PostgreSQL's binary forms are made of. */
export class WireBuffer extends GrowingBuffer {
  u16(value: number): void {
    this.reserve(2);
    this.buffer[this.end++] = value >>> 8;
    this.buffer[this.end++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    const at = this.end;
    this.buffer[at] = value >>> 24;
    this.buffer[at + 1] = value >>> 16;
    this.buffer[at + 2] = value >>> 8;
    this.buffer[at + 3] = value;
    this.end = at + 4;
  }

  /** Copies `from[start, end)`. */
  raw(from: Uint8Array, start: number, end: number): void {
    const bytes = end - start;
    this.reserve(bytes);
    const to = this.buffer;
    let at = this.end;
    this.end += bytes;
    // A call costs more than the copy of a few bytes.
    if (bytes <= 24) for (let i = start; i < end; i += 1) to[at++] = from[i]!;
    else to.set(from.subarray(start, end), at);
  }
}
