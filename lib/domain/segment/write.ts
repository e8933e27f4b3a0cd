import { hash } from 'node:crypto';
import type { ChangeInput, ChangeKind } from '#lib/domain/change.ts';
import { BlockWriter, checkBody, MAX_OVERHEAD_BYTES } from '#lib/domain/segment/block-writer.ts';
import { ByteWriter } from '#lib/domain/segment/byte-writer.ts';
import { type Block, type Footer, putFooter } from '#lib/domain/segment/footer.ts';
import {
  CRC_BYTES,
  crcOf,
  END_MAGIC,
  MAGIC,
  MAX_RAW_BYTES,
  MAX_RECORDS,
  MAX_SHARED_BLOCK_BYTES,
  PREAMBLE_BYTES,
  TRAILER_BYTES,
  VERSION,
} from '#lib/domain/segment/format.ts';
import { KIND_CODES, KINDS } from '#lib/domain/segment/frame.ts';
import {
  checkName,
  checkSource,
  type Header,
  invalid,
  type Position,
  putHeader,
} from '#lib/domain/segment/header.ts';

/** What the records of a segment refer to. */
export type SegmentSource = Pick<Header, 'group' | 'tables' | 'shards' | 'schema'>;

export type WrittenSegment = {
  readonly bytes: Uint8Array;
  /** SHA-256 of `bytes`, hex: the segment's name. */
  readonly hash: string;
  readonly count: number;
  /** Bytes of the records before compression. */
  readonly rawBytes: number;
  readonly minCommitMs: number;
  readonly maxCommitMs: number;
  readonly positions: readonly Position[];
};

/** Raw size of a block, bytes. A record that is larger has a block of its own. */
const BLOCK_BYTES = 512 << 10;
const MIN_BLOCK_BYTES = 64;

/** Collects records into a segment, in memory. The same records give the same bytes. */
export class SegmentWriter {
  /** V8 drops the code that it optimized for a shape once no object has it: this one is always there. */
  static readonly shape = new SegmentWriter('shape');
  readonly #group: string;
  readonly #blockBytes: number;
  /** The block in progress. */
  readonly #block = new BlockWriter();
  /** The parts of blocks that are done, and the blocks' lines of the index. */
  #stored: Buffer[] = [];
  #blocks: Block[] = [];
  #count = 0;
  #rawBytes = 0;
  /** Records by table and kind, at `table * KINDS.length + code`. */
  #tallies: number[] = [];
  /** By index of shard. */
  #positions: { readonly first: string; last: string }[] = [];

  /** @param options `blockBytes`: raw size that a block may reach, 64 bytes to 1 MiB. */
  constructor(group: string, options: { readonly blockBytes?: number } = {}) {
    checkName(group);
    const { blockBytes = BLOCK_BYTES } = options;
    if (
      !Number.isInteger(blockBytes) ||
      blockBytes < MIN_BLOCK_BYTES ||
      blockBytes > MAX_SHARED_BLOCK_BYTES
    ) {
      throw invalid(`a block of ${blockBytes} bytes is out of range`, 'Use 64 bytes to 1 MiB.');
    }
    this.#group = group;
    this.#blockBytes = blockBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Bytes of the records so far, before compression. */
  get rawBytes(): number {
    return this.#rawBytes + this.#block.rawBytes;
  }

  /**
   * Takes a copy of the record. Throws CAPTURE_RECORD_REJECTED if no segment can hold it, and CONFIG_INVALID if
   * this one is full (MAX_RECORDS or MAX_RAW_BYTES).
   */
  add(record: ChangeInput): void {
    checkBody(record);
    const bound = this.#block.rawBytes + record.body.length + MAX_OVERHEAD_BYTES;
    if (this.#count >= MAX_RECORDS || this.#rawBytes + bound > MAX_RAW_BYTES) {
      throw invalid('a segment is full', 'Collect fewer records before finishing a segment.');
    }
    if (bound > this.#blockBytes) this.#endBlock();
    const code = KIND_CODES[record.kind];
    this.#block.put(record, code);
    this.#count += 1;
    const slot = record.table * KINDS.length + code;
    this.#tallies[slot] = (this.#tallies[slot] ?? 0) + 1;
    const position = this.#positions[record.shard];
    if (position === undefined)
      this.#positions[record.shard] = { first: record.sequence, last: record.sequence };
    else position.last = record.sequence;
  }

  /** Encodes what was added, at least one record, and leaves the writer empty for the next segment. */
  finish(source: Omit<SegmentSource, 'group'>): WrittenSegment {
    checkSource(source);
    if (this.#count === 0) throw invalid('a segment without records', 'Add a record before finishing.');
    this.#endBlock();
    const blocks = this.#blocks;
    if (
      this.#tallies.length > source.tables.length * KINDS.length ||
      this.#positions.length > source.shards.length
    ) {
      throw invalid('a record refers to a table or shard that is not named', 'Name them all.');
    }
    const summary = {
      count: this.#count,
      rawBytes: this.#rawBytes,
      minCommitMs: blocks.reduce(
        (least, { minCommitMs }) => Math.min(least, minCommitMs),
        Number.POSITIVE_INFINITY,
      ),
      maxCommitMs: blocks.reduce((most, { maxCommitMs }) => Math.max(most, maxCommitMs), 0),
      positions: source.shards.flatMap((shard, index) => {
        const position = this.#positions[index];
        return position === undefined ? [] : [{ shard, ...position }];
      }),
    };
    const tableCounts = source.tables.map((table, index) => {
      const of = (kind: ChangeKind) => this.#tallies[index * KINDS.length + KIND_CODES[kind]] ?? 0;
      return {
        table,
        inserts: of('insert'),
        updates: of('update'),
        deletes: of('delete') + of('expiry'),
        other: of('statement') + of('marker'),
      };
    });
    const bytes = assemble({ group: this.#group, ...source, ...summary }, this.#stored, {
      blocks,
      tableCounts,
    });
    this.#reset();
    return { bytes, hash: hash('sha256', bytes, 'hex'), ...summary };
  }

  #endBlock(): void {
    if (this.#block.rawBytes === 0) return;
    const { stored, block } = this.#block.end();
    this.#stored.push(...stored);
    this.#blocks.push(block);
    this.#rawBytes += block.rawBytes;
  }

  #reset(): void {
    this.#stored = [];
    this.#blocks = [];
    this.#count = 0;
    this.#rawBytes = 0;
    this.#tallies = [];
    this.#positions = [];
  }
}

/** Lays out an object around blocks that are done. */
export function assemble(
  header: Omit<Header, 'schemaHash'>,
  blocks: readonly Buffer[],
  index: Footer,
): Buffer {
  const front = new ByteWriter();
  putHeader(front, header);
  const footer = new ByteWriter();
  putFooter(footer, index);
  const blockBytes = blocks.reduce((sum, { length }) => sum + length, 0);
  const total = PREAMBLE_BYTES + front.length + CRC_BYTES + blockBytes + footer.length + TRAILER_BYTES;

  const preamble = new ByteWriter(PREAMBLE_BYTES);
  preamble.raw(MAGIC);
  preamble.u16(VERSION);
  preamble.u32(front.length);
  preamble.u32(total);
  for (const part of [preamble, front]) part.u32(crcOf(part.view(), 0, part.length));
  footer.u32(footer.length);
  footer.u32(total);
  footer.u32(crcOf(footer.view(), 0, footer.length));
  footer.raw(END_MAGIC);
  return Buffer.concat([preamble.view(), front.view(), ...blocks, footer.view()], total);
}
