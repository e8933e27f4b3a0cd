import { hash } from 'node:crypto';
import type { ChangeInput } from '#lib/domain/change.ts';
import { BLOCK_HEADER_BYTES, compressBlock, crcOf, decompressBlock } from '#lib/domain/segment/format.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { SegmentWriter, type WrittenSegment } from '#lib/domain/segment/write.ts';
import type { BenchResult } from './result.ts';

const ROUNDS = 50;
/** Records that differ. They are added again and again, as a batch that has just arrived would be: from the cache. */
const DISTINCT = 2048;
const SOURCE = { tables: ['orders'], shards: ['shardId-0001'], schema: new Uint8Array() };

type Sizes = { readonly count: number; readonly after: number; readonly before: number };
/** Milliseconds of one round. */
type Round = {
  readonly write: number;
  readonly hash: number;
  readonly read: number;
  readonly unpack: number;
  readonly rawWrite: number;
  readonly rawRead: number;
};

/**
 * Segment write and read against CRC-32C and zstd level 1 over the same bytes, in the same blocks, with the
 * same zstd settings and nothing else around. A write is add and finish without the SHA-256 of the object; a
 * read is open and forEach over all records; to unpack is to take key, images and sequence of each as well.
 */
export async function benchSegment(): Promise<readonly BenchResult[]> {
  const usual = measure({ count: 32_000, after: 130, before: 100 });
  const large = measure({ count: 8_000, after: 500, before: 500 });
  const row = (name: string, unit: string, value: number, goal: string | null = null) => {
    return { name, value, unit, goal };
  };
  const write = ({ rawWrite, write, hash }: Round) => rawWrite / (write - hash);
  const read = ({ rawRead, read }: Round) => rawRead / read;
  const hashed = ({ rawWrite, write }: Round) => rawWrite / write;
  const unpacked = ({ rawRead, unpack }: Round) => rawRead / unpack;
  return [
    row('segment-write-vs-raw', 'ratio', usual.median(write), '>= 0.8'),
    row('segment-read-vs-raw', 'ratio', usual.median(read), '>= 0.8'),
    row('segment-write-and-hash-vs-raw', 'ratio', usual.median(hashed)),
    row('segment-unpack-vs-raw', 'ratio', usual.median(unpacked)),
    row('segment-write-vs-raw-1-kb-records', 'ratio', large.median(write)),
    row('segment-read-vs-raw-1-kb-records', 'ratio', large.median(read)),
    row(
      'segment-write-mb-per-second',
      'MB/s',
      usual.megabytes(({ write }) => write),
    ),
    row(
      'segment-read-mb-per-second',
      'MB/s',
      usual.megabytes(({ read }) => read),
    ),
    row('segment-compression', 'ratio', usual.compression),
  ];
}

/** Rounds in which the contestants take turns, so that a busy machine slows all of them. */
function measure(sizes: Sizes) {
  const distinct = changes(sizes);
  const records = Array.from({ length: sizes.count }, (_, index) => distinct[index % DISTINCT]!);
  const segment = writeSegment(records);
  const { blocks } = openSegment(segment.bytes).info;
  const frames = blocks.map(({ offset, storedBytes }) => {
    const start = offset + BLOCK_HEADER_BYTES;
    return segment.bytes.subarray(start, start + storedBytes);
  });
  const raw = blocks.map(({ rawBytes }, index) => decompressBlock(frames[index]!, rawBytes));
  const rounds: Round[] = [];
  let sink = 0;
  const ages = new Float64Array(1);
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push({
      rawWrite: timed(() => {
        for (const block of raw) {
          const frame = compressBlock(block);
          sink += crcOf(frame, 0, frame.length);
        }
      }),
      write: timed(() => {
        sink += writeSegment(records).count;
      }),
      hash: timed(() => {
        sink += hash('sha256', segment.bytes, 'hex').length;
      }),
      rawRead: timed(() => {
        for (const [index, frame] of frames.entries()) {
          sink += crcOf(frame, 0, frame.length) + decompressBlock(frame, raw[index]!.length).length;
        }
      }),
      read: timed(() => {
        openSegment(segment.bytes).forEach(({ commitMs }) => {
          ages[0]! += commitMs;
        });
      }),
      unpack: timed(() => {
        openSegment(segment.bytes).forEach(({ key, after, before, sequence }) => {
          sink += key.length + (after?.length ?? 0) + (before?.length ?? 0) + sequence.length;
        });
      }),
    });
  }
  if (!Number.isFinite(sink)) throw new Error('the bench did no work');
  const median = (of: (round: Round) => number) => rounds.map(of).sort((a, b) => a - b)[ROUNDS >> 1]!;
  return {
    median,
    megabytes: (of: (round: Round) => number) => segment.rawBytes / median(of) / 1e3,
    compression: segment.rawBytes / segment.bytes.length,
  };
}

function writeSegment(records: readonly ChangeInput[]): WrittenSegment {
  const writer = new SegmentWriter('bench');
  for (const record of records) writer.add(record);
  return writer.finish(SOURCE);
}

/** Changes to rows of text, numbers and ids, the same in every run. */
function changes({ after, before }: Sizes): ChangeInput[] {
  const random = generator(7);
  const words = Array.from({ length: 600 }, () => {
    const letters = Array.from({ length: 3 + random(8) }, () => String.fromCharCode(97 + random(26)));
    return letters.join('');
  });
  const row = (id: string, size: number) => {
    let text = `{"id":"${id}","ref":"${hex(random)}","total":${random(100_000)},"note":"`;
    while (text.length < size - 2) text += `${words[random(600)]} `;
    return Buffer.from(`${text.slice(0, size - 2)}"}`);
  };
  let sequence = 100_000_000_000_034_980_699n;
  return Array.from({ length: DISTINCT }, (_, index) => {
    const id = `order#${String(random(1_000_000)).padStart(6, '0')}`;
    sequence += BigInt(1 + random(2000));
    const images = before === 0 ? [row(id, after)] : [row(id, after), row(id, before)];
    const parts = [Buffer.from(id), ...images];
    return {
      kind: before === 0 ? 'insert' : 'update',
      table: 0,
      shard: 0,
      sequence: sequence.toString(),
      commitMs: 1_790_000_000_000 + index * 3 + random(3),
      body: Buffer.concat(parts),
      keyBytes: parts[0]!.length,
      afterBytes: parts[1]!.length,
      beforeBytes: parts[2]?.length,
    };
  });
}

function hex(random: (limit: number) => number): string {
  return random(2 ** 32)
    .toString(16)
    .padStart(8, '0');
}

/** Whole numbers below a limit, by Marsaglia's xorshift. */
function generator(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

function timed(work: () => void): number {
  const start = performance.now();
  work();
  return performance.now() - start;
}
