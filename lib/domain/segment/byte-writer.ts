import { GrowingBuffer } from '#lib/domain/growing-buffer.ts';

/** A buffer that grows as integers and byte strings are put at its end. */
export class ByteWriter extends GrowingBuffer {
  clear(): void {
    this.end = 0;
  }

  u16(value: number): void {
    this.reserve(2);
    this.end = this.buffer.writeUInt16LE(value, this.end);
  }

  u32(value: number): void {
    this.reserve(4);
    this.end = this.buffer.writeUInt32LE(value, this.end);
  }

  /** LEB128 of a safe integer that is not negative: 1 to 8 bytes. */
  varint(value: number): void {
    this.reserve(8);
    let rest = value;
    while (rest > 0x7f) {
      this.buffer[this.end++] = (rest % 0x80) | 0x80;
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80);
    }
    this.buffer[this.end++] = rest;
  }

  raw(from: Uint8Array): void {
    this.reserve(from.length);
    this.buffer.set(from, this.end);
    this.end += from.length;
  }

  /** Varint of the length, then the bytes. */
  bytes(from: Uint8Array): void {
    this.varint(from.length);
    this.raw(from);
  }
}
