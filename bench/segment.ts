import { hash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import type { ChangeRecord } from '#lib/domain/change.ts';
import { compressBlock, crcOf, decompressBlock } from '#lib/domain/segment/format.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { SegmentWriter, type WrittenSegment } from '#lib/domain/segment/write.ts';
import type { BenchResult } from './result.ts';

const BLOCK_BYTES = 512 << 10;
const ROUNDS = 15;
const SOURCE = { tables: ['orders'], shards: ['shardId-0001'], schema: new Uint8Array() };

type Sizes = { readonly count: number; readonly after: number; readonly before: number };
type Figures = { write: number; writeUnhashed: number; read: number; rawWrite: number; rawRead: number };

/**
 * Segment write (add, finish, SHA-256) and read (open, forEach) against CRC-32C and zstd level 1 over the
 * records' bytes and nothing else, in blocks of the same size and with the same zstd settings.
 */
export async function benchSegment(): Promise<readonly BenchResult[]> {
  const usual = measure({ count: 32_000, after: 130, before: 100 });
  const tiny = measure({ count: 64_000, after: 24, before: 0 });
  const ratio = (name: string, value: number, goal: string | null = null) => ({
    name,
    value,
    unit: 'ratio',
    goal,
  });
  return [
    ratio('segment-write-vs-raw', usual.rawWrite / usual.write, '>= 0.8'),
    ratio('segment-read-vs-raw', usual.rawRead / usual.read, '>= 0.8'),
    ratio('segment-write-without-hash-vs-raw', usual.rawWrite / usual.writeUnhashed),
    ratio('segment-write-vs-raw-tiny-records', tiny.rawWrite / tiny.write),
    ratio('segment-read-vs-raw-tiny-records', tiny.rawRead / tiny.read),
    { name: 'segment-write-throughput', value: usual.bytes / usual.write / 1e3, unit: 'MB/s', goal: null },
    { name: 'segment-read-throughput', value: usual.bytes / usual.read / 1e3, unit: 'MB/s', goal: null },
    ratio('segment-compression', usual.bytes / usual.storedBytes),
  ];
}

/** Median times in ms, of rounds in which the four take turns. */
function measure(sizes: Sizes): Figures & { bytes: number; storedBytes: number } {
  const records = changes(sizes);
  const raw = rawBlocks(records);
  const rounds: Figures[] = [];
  let segment = writeSegment(records);
  let stored = raw.map(storeRaw);
  let seen = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const rawWrite = timed(() => {
      stored = raw.map(storeRaw);
    });
    const write = timed(() => {
      segment = writeSegment(records);
    });
    const hashing = timed(() => {
      hash('sha256', segment.bytes, 'hex');
    });
    const rawRead = timed(() => {
      for (const [index, { frame, crc }] of stored.entries()) {
        if (crcOf(frame, 0, frame.length) !== crc) throw new Error('raw block differs');
        seen += decompressBlock(frame, raw[index]!.length).length;
      }
    });
    const read = timed(() => {
      openSegment(segment.bytes).forEach((record) => {
        seen += record.key.length + (record.after?.length ?? 0) + (record.before?.length ?? 0);
      });
    });
    rounds.push({ write, writeUnhashed: write - hashing, read, rawWrite, rawRead });
  }
  const bytes = raw.reduce((sum, { length }) => sum + length, 0);
  if (seen !== bytes * ROUNDS * 2) throw new Error('the bench did not read what it wrote');
  const median = (of: keyof Figures) => rounds.map((round) => round[of]).sort((a, b) => a - b)[ROUNDS >> 1]!;
  return {
    write: median('write'),
    writeUnhashed: median('writeUnhashed'),
    read: median('read'),
    rawWrite: median('rawWrite'),
    rawRead: median('rawRead'),
    bytes,
    storedBytes: segment.bytes.length,
  };
}

function writeSegment(records: readonly ChangeRecord[]): WrittenSegment {
  const writer = new SegmentWriter('bench', { blockBytes: BLOCK_BYTES });
  for (const record of records) writer.add(record);
  return writer.finish(SOURCE);
}

function storeRaw(raw: Buffer): { frame: Buffer; crc: number } {
  const frame = compressBlock(raw);
  return { frame, crc: crcOf(frame, 0, frame.length) };
}

/** Keys and images of the records, end to end. */
export function rawBlocks(records: readonly ChangeRecord[]): Buffer[] {
  const none = new Uint8Array();
  const bytes = Buffer.concat(
    records.flatMap(({ key, after, before }) => [key, after ?? none, before ?? none]),
  );
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += BLOCK_BYTES) blocks.push(bytes.subarray(at, at + BLOCK_BYTES));
  return blocks;
}

/** Updates of rows of text, numbers and ids, the same in every run. */
export function changes({ count, after, before }: Sizes): ChangeRecord[] {
  const random = generator(7);
  const words = Array.from({ length: 600 }, () => {
    const letters = Array.from({ length: 3 + random(8) }, () => String.fromCharCode(97 + random(26)));
    return letters.join('');
  });
  const row = (id: string, size: number) => {
    let text = `{"id":"${id}","status":"${words[random(6)]}","total":${random(100_000)},"note":"`;
    // The product of two draws favours the first words, as language does.
    while (text.length < size - 2) text += `${words[Math.floor((random(600) * random(600)) / 600)]} `;
    return Buffer.from(`${text.slice(0, size - 2)}"}`);
  };
  let sequence = 100_000_000_000_034_980_699n;
  return Array.from({ length: count }, (_, index) => {
    const id = `order#${String(random(1_000_000)).padStart(6, '0')}`;
    sequence += BigInt(1 + random(2000));
    return {
      kind: before === 0 ? 'insert' : 'update',
      table: 0,
      shard: 0,
      sequence: sequence.toString(),
      commitMs: 1_790_000_000_000 + index * 3 + random(3),
      key: Buffer.from(id),
      after: row(id, after),
      before: before === 0 ? undefined : row(id, before),
    };
  });
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) console.table(await benchSegment());
