import type { ChangeKind, ChangeRecord } from '#lib/domain/change.ts';
import { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import type { PlacedBlock } from '#lib/domain/segment/footer.ts';
import {
  BLOCK_HEADER_BYTES,
  CRC_BYTES,
  corrupt,
  crcOf,
  decompressBlock,
} from '#lib/domain/segment/format.ts';
import {
  ALL_DIGITS,
  BODIES_AT,
  EARLIER,
  ELSEWHERE,
  HAS_AFTER,
  HAS_BEFORE,
  KIND_BITS,
  KINDS,
  TAIL_DIGITS,
} from '#lib/domain/segment/frame.ts';

/**
 * The records of a decompressed block, one at a time: a cursor that is itself the record on which it stands. Its
 * fields are made when they are asked for, and nothing is allocated per record, so that to skim a segment takes a
 * fraction of what it takes to unpack it.
 */
export class BlockRecords implements ChangeRecord {
  readonly #raw: Buffer;
  readonly #minCommitMs: number;
  readonly #runs: readonly Run[];
  /** One element a record. */
  readonly #tags: Uint8Array;
  readonly #runOf: Uint32Array;
  readonly #growths: Float64Array;
  readonly #ages: Float64Array;
  /** Where key, after and before begin; before ends where the next key begins. */
  readonly #keyAt: Uint32Array;
  readonly #afterAt: Uint32Array;
  readonly #beforeAt: Uint32Array;
  #index = 0;

  /** Checks all of a block of `object` before any of it is handed out. Indexes are below the limits given. */
  constructor(object: Buffer, block: PlacedBlock, tables: number, shards: number) {
    const { offset, storedBytes, rawBytes, count, minCommitMs, maxCommitMs } = block;
    const frame = offset + BLOCK_HEADER_BYTES;
    const end = frame + storedBytes;
    if (object.readUInt32LE(offset) !== crcOf(object, offset + CRC_BYTES, end)) {
      throw corrupt('has a block that fails its checksum');
    }
    const raw = decompressBlock(object.subarray(frame, end), rawBytes);
    const bodiesEnd = raw.length < BODIES_AT ? raw.length : BODIES_AT + raw.readUInt32LE(0);
    if (bodiesEnd >= raw.length) throw corrupt('has a block without frames');

    const frames = new ByteReader(raw.subarray(bodiesEnd));
    const runs: Run[] = [];
    const tags = new Uint8Array(count);
    const runOf = new Uint32Array(count);
    const growths = new Float64Array(count);
    const ages = new Float64Array(count);
    const keyAt = new Uint32Array(count + 1);
    const afterAt = new Uint32Array(count);
    const beforeAt = new Uint32Array(count);
    let run: Run = { table: 0, shard: 0, sequence: '', tail: 0 };
    let at = BODIES_AT;
    let growth = 0;
    let room = 0;
    let age = -minCommitMs;
    let oldest = Number.POSITIVE_INFINITY;
    let newest = Number.NEGATIVE_INFINITY;
    for (let index = 0; index < count; index += 1) {
      const tag = frames.u8();
      if ((tag & KIND_BITS) >= KINDS.length) throw corrupt('has a record of an unknown kind');
      if ((tag & ELSEWHERE) !== 0) run = { ...run, table: frames.varint(), shard: frames.varint() };
      if ((tag & ALL_DIGITS) === 0) {
        growth += frames.varint();
      } else {
        const sequence = frames.sequence();
        const tail = Number(sequence.slice(-TAIL_DIGITS));
        run = { ...run, sequence, tail };
        growth = 0;
        room = 10 ** Math.min(sequence.length, TAIL_DIGITS) - tail;
      }
      if ((tag & (ELSEWHERE | ALL_DIGITS)) !== 0 || index === 0) {
        if (run.table >= tables || run.shard >= shards) throw corrupt('has a record of no table or shard');
        runs.push(run);
      }
      if (growth >= room) throw corrupt('has a record without a sequence');
      const distance = frames.varint();
      age += (tag & EARLIER) === 0 ? distance : -distance;
      if (age < oldest) oldest = age;
      if (age > newest) newest = age;
      tags[index] = tag;
      runOf[index] = runs.length - 1;
      growths[index] = growth;
      ages[index] = age;
      at += frames.varint();
      afterAt[index] = at;
      if ((tag & HAS_AFTER) !== 0) at += frames.varint();
      beforeAt[index] = at;
      if ((tag & HAS_BEFORE) !== 0) at += frames.varint();
      if (at > bodiesEnd) throw corrupt('has a record that is longer than its block');
      keyAt[index + 1] = at;
    }
    frames.done();
    if (at < bodiesEnd) throw corrupt('has bytes that belong to no record');
    if (oldest !== 0 || newest !== maxCommitMs - minCommitMs) {
      throw corrupt('has a block with other commit times than its index says');
    }
    keyAt[0] = BODIES_AT;
    this.#raw = raw;
    this.#minCommitMs = minCommitMs;
    this.#runs = runs;
    this.#tags = tags;
    this.#runOf = runOf;
    this.#growths = growths;
    this.#ages = ages;
    this.#keyAt = keyAt;
    this.#afterAt = afterAt;
    this.#beforeAt = beforeAt;
  }

  /** The record at `index`: valid until the next call. */
  at(index: number): ChangeRecord {
    this.#index = index;
    return this;
  }

  get kind(): ChangeKind {
    return KINDS[this.#tags[this.#index]! & KIND_BITS]!;
  }

  get table(): number {
    return this.#run.table;
  }

  get shard(): number {
    return this.#run.shard;
  }

  get sequence(): string {
    const { sequence, tail } = this.#run;
    const growth = this.#growths[this.#index]!;
    if (growth === 0) return sequence;
    const digits = Math.min(sequence.length, TAIL_DIGITS);
    return sequence.slice(0, -digits) + String(tail + growth).padStart(digits, '0');
  }

  get commitMs(): number {
    return this.#minCommitMs + this.#ages[this.#index]!;
  }

  get key(): Uint8Array {
    return this.#view(this.#keyAt[this.#index]!, this.#afterAt[this.#index]!);
  }

  get after(): Uint8Array | undefined {
    if ((this.#tags[this.#index]! & HAS_AFTER) === 0) return undefined;
    return this.#view(this.#afterAt[this.#index]!, this.#beforeAt[this.#index]!);
  }

  get before(): Uint8Array | undefined {
    if ((this.#tags[this.#index]! & HAS_BEFORE) === 0) return undefined;
    return this.#view(this.#beforeAt[this.#index]!, this.#keyAt[this.#index + 1]!);
  }

  get #run(): Run {
    return this.#runs[this.#runOf[this.#index]!]!;
  }

  #view(start: number, end: number): Buffer {
    return this.#raw.subarray(start, end);
  }
}

/** What a run of records has in common. */
type Run = {
  readonly table: number;
  readonly shard: number;
  /** The last one that was written out in full, and its tail. */
  readonly sequence: string;
  readonly tail: number;
};
