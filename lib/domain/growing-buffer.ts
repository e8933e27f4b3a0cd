/** A buffer that grows as bytes are put at its end. */
export abstract class GrowingBuffer {
  protected buffer: Buffer;
  protected end = 0;

  constructor(capacity = 1024) {
    this.buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.end;
  }

  /** What was put so far: a view that the next `put` may invalidate. */
  view(): Buffer {
    return this.buffer.subarray(0, this.end);
  }

  u8(value: number): void {
    this.reserve(1);
    this.buffer[this.end++] = value;
  }

  protected reserve(bytes: number): void {
    const needed = this.end + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.buffer.length * 2));
    grown.set(this.buffer.subarray(0, this.end));
    this.buffer = grown;
  }
}
