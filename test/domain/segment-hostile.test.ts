import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, isFailure } from '#lib/domain/errors.ts';
import {
  BLOCK_HEADER_BYTES,
  CRC_BYTES,
  compressBlock,
  crcOf,
  decompressBlock,
  PREAMBLE_BYTES,
  TRAILER_BYTES,
} from '#lib/domain/segment/format.ts';
import { openSegment, type SegmentInfo } from '#lib/domain/segment/read.ts';
import { assemble } from '#lib/domain/segment/write.ts';
import { contents, plain, samples, write } from './segment-samples.ts';

const records = samples(80);
const { bytes } = write(records, { blockBytes: 512 });
const { info } = openSegment(bytes);

describe('a segment that was damaged', () => {
  it('is refused for any flipped bit', () => {
    expect(info.blocks.length).toBeGreaterThan(3);
    const damaged = Buffer.from(bytes);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      for (let bit = 0; bit < 8; bit += 1) {
        damaged[offset]! ^= 1 << bit;
        const code = refusal(damaged);
        if (code !== 'SEGMENT_CORRUPT') expect.fail(`byte ${offset}, bit ${bit}: ${code}`);
        damaged[offset]! ^= 1 << bit;
      }
    }
    expect(refusal(damaged)).toBeUndefined();
  });

  it('is refused as torn at any length', () => {
    for (let length = 0; length < bytes.length; length += 1) {
      const code = refusal(bytes.subarray(0, length));
      if (code !== 'SEGMENT_TORN') expect.fail(`${length} bytes: ${code}`);
    }
  });

  it('is refused with anything after its end', () => {
    for (const tail of [Buffer.alloc(1), Buffer.alloc(1 << 16), bytes]) {
      expect(refusal(Buffer.concat([bytes, tail]))).toBe('SEGMENT_CORRUPT');
    }
  });

  it('is refused with a run of bytes lost, repeated or replaced', () => {
    const at = fc.nat(bytes.length - 1);
    fc.assert(
      fc.property(at, at, fc.uint8Array({ maxLength: 64 }), (a, b, middle) => {
        const mixed = Buffer.concat([bytes.subarray(0, a), middle, bytes.subarray(b)]);
        fc.pre(!mixed.equals(bytes));
        expect(refusal(mixed)).toMatch(/^SEGMENT_(CORRUPT|TORN)$/);
      }),
      { numRuns: 2000 },
    );
  });

  it('hands out nothing of a bad block, and the blocks before it in full', () => {
    const [, , bad] = info.blocks as [unknown, unknown, SegmentInfo['blocks'][0]];
    const damaged = Buffer.from(bytes);
    damaged[bad.offset + BLOCK_HEADER_BYTES + 3]! ^= 4;
    let seen = 0;
    expect(() =>
      openSegment(damaged).forEach(() => {
        seen += 1;
      }),
    ).toThrow('SEGMENT_CORRUPT');
    expect(seen).toBe(bad.firstOrdinal);
  });
});

describe('bytes that are no segment', () => {
  it('are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (garbage) => {
        expect(refusal(garbage)).toMatch(/^SEGMENT_(CORRUPT|TORN)$/);
      }),
      { numRuns: 1000 },
    );
  });

  it('are refused after a good start', () => {
    fc.assert(
      fc.property(
        fc.nat(bytes.length),
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        (length, garbage) => {
          const mixed = Buffer.concat([bytes.subarray(0, length), garbage]);
          fc.pre(!mixed.equals(bytes));
          expect(refusal(mixed)).toMatch(/^SEGMENT_(CORRUPT|TORN)$/);
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a segment of another version', () => {
  it('is refused as such, even where nothing else is as expected', () => {
    const newer = Buffer.from(bytes);
    newer.writeUInt16LE(2, 8);
    sign(newer);
    expect(refusal(newer)).toBe('SEGMENT_VERSION');
    expect(refusal(newer.subarray(0, PREAMBLE_BYTES))).toBe('SEGMENT_VERSION');
  });

  it('is not believed where the preamble fails its checksum', () => {
    const newer = Buffer.from(bytes);
    newer.writeUInt16LE(2, 8);
    expect(refusal(newer)).toBe('SEGMENT_CORRUPT');
  });
});

describe('a segment that was forged with valid checksums', () => {
  it('is itself where nothing was changed', () => {
    expect(forge({}).equals(bytes)).toBe(true);
    expect(contents(openSegment(forge({})))).toEqual(records.map(plain));
  });

  it('is refused if a block unpacks to more than it says, without unpacking it', () => {
    const bomb = compressBlock(Buffer.alloc(64 << 20));
    expect(bomb.length).toBeLessThan(10_000);
    for (const rawBytes of [100, 512, 1 << 20]) {
      const [first] = info.blocks as [SegmentInfo['blocks'][0]];
      const line = { ...first, storedBytes: bomb.length, rawBytes };
      const forged = forge({
        blocks: [line, ...info.blocks.slice(1)],
        frames: [bomb, ...frames().slice(1)],
        rawBytes: info.rawBytes - first.rawBytes + rawBytes,
      });
      expect(openSegment(forged).info.blocks[0]?.rawBytes).toBe(rawBytes);
      // The decompressor itself stopped at the limit.
      expect(() => contents(openSegment(forged))).toThrow(
        expect.objectContaining({
          code: 'SEGMENT_CORRUPT',
          cause: expect.objectContaining({ code: 'ERR_BUFFER_TOO_LARGE' }),
        }),
      );
    }
  });

  it('is refused if a block unpacks to less than it says', () => {
    const [first, ...others] = info.blocks as [SegmentInfo['blocks'][0]];
    const blocks = [{ ...first, rawBytes: first.rawBytes + 1 }, ...others];
    expect(refusal(forge({ blocks, rawBytes: info.rawBytes + 1 }))).toBe('SEGMENT_CORRUPT');
  });

  it('is refused if a record reaches beyond the bodies of its block, or leaves a part of them to nobody', () => {
    const [first] = info.blocks as [SegmentInfo['blocks'][0]];
    for (const by of [-1, 1]) {
      const raw = decompressBlock(frames()[0]!, first.rawBytes);
      // The last byte of a block is a length of its last record.
      raw[raw.length - 1]! += by;
      const frame = compressBlock(raw);
      const blocks = info.blocks.with(0, { ...first, storedBytes: frame.length });
      expect(refusal(forge({ blocks, frames: frames().with(0, frame) }))).toBe('SEGMENT_CORRUPT');
    }
  });

  it('is refused if it has bytes between blocks and footer that no checksum covers', () => {
    expect(refusal(forge({ gap: Buffer.from('x') }))).toBe('SEGMENT_CORRUPT');
  });

  it('is refused if a block claims more than any may hold', () => {
    const [first, ...others] = info.blocks as [SegmentInfo['blocks'][0], ...SegmentInfo['blocks']];
    const claim = (rawBytes: number, count = first.count) =>
      refusal(
        forge({
          blocks: [{ ...first, rawBytes, count }, ...others],
          rawBytes: info.rawBytes - first.rawBytes + rawBytes,
          count: info.count - first.count + count,
        }),
      );
    expect(claim(17 << 20)).toBe('SEGMENT_CORRUPT');
    expect(claim(2 ** 32 - 1)).toBe('SEGMENT_CORRUPT');
    expect(claim(2 << 20)).toBe('SEGMENT_CORRUPT');
    expect(claim(first.rawBytes, 10_000)).toBe('SEGMENT_CORRUPT');
    expect(claim(first.rawBytes, 0)).toBe('SEGMENT_CORRUPT');
  });

  it('is refused if the index moves a boundary, a count, a length or a time', () => {
    for (const [index, block] of info.blocks.entries()) {
      for (const field of ['storedBytes', 'rawBytes', 'count', 'minCommitMs', 'maxCommitMs'] as const) {
        for (const by of [-1, 1, 1000]) {
          const blocks = info.blocks.with(index, { ...block, [field]: block[field] + by });
          if (block.maxCommitMs + by < block.minCommitMs) continue;
          expect(refusal(forge({ blocks, blockHeaders: info.blocks }))).toBe('SEGMENT_CORRUPT');
        }
      }
    }
  });

  it('is refused if two blocks change places, or one moves a record to the other', () => {
    const [a, b, ...others] = info.blocks as [SegmentInfo['blocks'][0], SegmentInfo['blocks'][0]];
    const swapped = forge({ frames: [frames()[1]!, frames()[0]!, ...frames().slice(2)] });
    expect(refusal(swapped)).toBe('SEGMENT_CORRUPT');
    const moved = [{ ...a, count: a.count - 1 }, { ...b, count: b.count + 1 }, ...others];
    expect(refusal(forge({ blocks: moved }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ blocks: moved, blockHeaders: info.blocks }))).toBe('SEGMENT_CORRUPT');
  });

  it('is refused if header and footer count differently', () => {
    expect(refusal(forge({ count: info.count + 1 }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ rawBytes: info.rawBytes + 1 }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ minCommitMs: info.minCommitMs - 1 }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ maxCommitMs: info.maxCommitMs + 1 }))).toBe('SEGMENT_CORRUPT');
    const [first, ...rest] = info.tableCounts as [SegmentInfo['tableCounts'][0]];
    const tableCounts = [{ ...first, inserts: first.inserts + 1 }, ...rest];
    expect(refusal(forge({ tableCounts }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ tables: info.tables.slice(0, 1) }))).toBe('SEGMENT_CORRUPT');
    expect(refusal(forge({ shards: info.shards.slice(0, 1), positions: info.positions.slice(0, 1) }))).toBe(
      'SEGMENT_CORRUPT',
    );
  });

  it('fails in no other way whatever header, index and lengths say', () => {
    const outside = (offset: number) => offset < info.blocks[0]!.offset || offset >= end();
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const forged = Buffer.from(bytes);
          for (const [offset, value] of changes) if (outside(offset)) forged[offset] = value;
          sign(forged);
          expectTyped(forged);
        },
      ),
      { numRuns: 5000 },
    );
  });

  it('fails in no other way whatever its blocks hold', () => {
    const raw = info.blocks.map(({ rawBytes }, index) => decompressBlock(frames()[index]!, rawBytes));
    fc.assert(
      fc.property(
        fc.nat(raw.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (index, changes) => {
          const block = Buffer.from(raw[index]!);
          // Mostly among the frames, which come last: a changed body is a legal record.
          for (const [at, value] of changes)
            block[block.length - 1 - (at % Math.min(120, block.length))] = value;
          const frame = compressBlock(block);
          const blocks = info.blocks.with(index, { ...info.blocks[index]!, storedBytes: frame.length });
          expectTyped(forge({ blocks, frames: frames().with(index, frame) }));
        },
      ),
      { numRuns: 3000 },
    );
  });
});

type Forgery = Partial<SegmentInfo> & {
  /** Compressed blocks. */
  readonly frames?: readonly Uint8Array[];
  /** What the blocks' own headers say, if not what the index says. */
  readonly blockHeaders?: SegmentInfo['blocks'];
  /** Bytes after the last block. */
  readonly gap?: Buffer;
};

/** The sample segment with other contents, and checksums that hold. */
function forge({ frames: stored = frames(), blockHeaders, gap, ...changed }: Forgery): Buffer {
  const forged = { ...info, ...changed };
  const blocks = (blockHeaders ?? forged.blocks).map(({ storedBytes, rawBytes, count }, index) => {
    const block = Buffer.concat([Buffer.alloc(BLOCK_HEADER_BYTES), stored[index]!]);
    for (const [field, value] of [storedBytes, rawBytes, count].entries()) {
      block.writeUInt32LE(value, CRC_BYTES + 4 * field);
    }
    block.writeUInt32LE(crcOf(block, CRC_BYTES, block.length), 0);
    return block;
  });
  return assemble(forged, gap === undefined ? blocks : [...blocks, gap], forged);
}

function frames(): Uint8Array[] {
  return info.blocks.map(({ offset, storedBytes }) => {
    const start = offset + BLOCK_HEADER_BYTES;
    return bytes.subarray(start, start + storedBytes);
  });
}

/** Where the blocks end. */
function end(): number {
  const { offset, storedBytes } = info.blocks.at(-1)!;
  return offset + BLOCK_HEADER_BYTES + storedBytes;
}

/** Renews the checksums of preamble, header and footer, as far as the lengths that are written there allow. */
function sign(forged: Buffer): void {
  const put = (start: number, at: number) => {
    if (start >= 0 && start < at && at + CRC_BYTES <= forged.length) {
      forged.writeUInt32LE(crcOf(forged, start, at), at);
    }
  };
  put(0, PREAMBLE_BYTES - CRC_BYTES);
  put(PREAMBLE_BYTES, PREAMBLE_BYTES + forged.readUInt32LE(10));
  const trailer = forged.length - TRAILER_BYTES;
  put(trailer - forged.readUInt32LE(trailer), trailer + 8);
}

/** Reads all there is; the code of the failure, or undefined for none. Any other error is thrown on. */
function refusal(object: Uint8Array): ErrorCode | undefined {
  try {
    contents(openSegment(object));
  } catch (error) {
    if (isFailure(error)) return error.code;
    throw error;
  }
  return undefined;
}

/** Refused with a typed error, or read as records that are in range. */
function expectTyped(object: Uint8Array): void {
  const code = refusal(object);
  if (code !== undefined) expect(code).toMatch(/^SEGMENT_(CORRUPT|TORN|VERSION)$/);
}
