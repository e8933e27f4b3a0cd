import type { ChangeKind, ChangeRecord } from '#lib/domain/change.ts';
import { ByteReader, varintAt, varintBytes } from '#lib/domain/segment/byte-reader.ts';
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

/** What a run of records has in common. */
type Run = {
  readonly table: number;
  readonly shard: number;
  /** The last one that was written out in full, and its tail. */
  readonly sequence: string;
  readonly tail: number;
};

const FIELDS = 5;
/** A tag is one byte; a block has fewer than 2^24 records, and thus runs. */
const RUN_SHIFT = 8;
const FIRST_RUN: Run = { table: 0, shard: 0, sequence: '', tail: 0 };

/**
 * The records of a decompressed block, one at a time: a cursor that is itself the record on which it stands. Its
 * fields are made when they are asked for, and nothing is allocated per record, so that to skim a segment takes a
 * fraction of what it takes to unpack it.
 */
export class BlockRecords implements ChangeRecord {
  /** V8 drops the code that it optimized for a shape once no object has it: this one is always there. */
  static readonly shape = new BlockRecords();
  #raw: Buffer = Buffer.alloc(0);
  #minCommitMs = Number.NaN;
  #runs: readonly Run[] = [FIRST_RUN];
  /** FIELDS elements a record: tag and run, growth, where after, before and the next key begin. */
  #fields = new Uint32Array();
  /** One element a record: milliseconds since the block's first commit. */
  #ages = new Float64Array();
  #index = 0;
  #field = 0;

  /**
   * Goes to a block of `object`, and checks all of it before any of it is handed out. Indexes are below the limits
   * given.
   */
  load(object: Buffer, block: PlacedBlock, tables: number, shards: number): void {
    const { offset, storedBytes, rawBytes, count, minCommitMs, maxCommitMs } = block;
    const start = offset + BLOCK_HEADER_BYTES;
    const end = start + storedBytes;
    if (object.readUInt32LE(offset) !== crcOf(object, offset + CRC_BYTES, end)) {
      throw corrupt('has a block that fails its checksum');
    }
    const raw = decompressBlock(object.subarray(start, end), rawBytes);
    const bodiesEnd = raw.length < BODIES_AT ? raw.length : BODIES_AT + raw.readUInt32LE(0);
    if (bodiesEnd >= raw.length) throw corrupt('has a block without frames');

    const runs: Run[] = [];
    if (count > this.#ages.length) {
      this.#fields = new Uint32Array(count * FIELDS);
      this.#ages = new Float64Array(count);
    }
    const fields = this.#fields;
    const ages = this.#ages;
    let field = 0;
    let { table, shard, sequence, tail } = FIRST_RUN;
    let at = BODIES_AT;
    let frame = bodiesEnd;
    let growth = 0;
    let room = 0;
    let age = -minCommitMs;
    let oldest = Number.POSITIVE_INFINITY;
    let newest = Number.NEGATIVE_INFINITY;
    // Numbers of one byte or two, as most are, are read in place: calls here are not inlined, and take 1.6 times as long.
    for (let index = 0; index < count; index += 1) {
      const tag = raw[frame++] ?? 0xff;
      if ((tag & KIND_BITS) >= KINDS.length) throw corrupt('has a record of an unknown kind');
      if ((tag & (ELSEWHERE | ALL_DIGITS)) !== 0 || index === 0) {
        const reader = new ByteReader(raw.subarray(frame));
        if ((tag & ELSEWHERE) !== 0) {
          table = reader.varint();
          shard = reader.varint();
        }
        if ((tag & ALL_DIGITS) !== 0) {
          sequence = reader.sequence();
          tail = Number(sequence.slice(-TAIL_DIGITS));
          growth = 0;
          room = 10 ** Math.min(sequence.length, TAIL_DIGITS) - tail;
        }
        frame = raw.length - reader.left;
        if (table >= tables || shard >= shards) throw corrupt('has a record of no table or shard');
        runs.push({ table, shard, sequence, tail });
      }
      if ((tag & ALL_DIGITS) === 0) {
        let more = raw[frame++] ?? 0xff;
        if (more > 0x7f) {
          const high = raw[frame++] ?? 0xff;
          if (high > 0 && high < 0x80) more = (high << 7) | (more & 0x7f);
          else {
            more = varintAt(raw, frame - 2);
            frame += varintBytes(more) - 2;
          }
        }
        growth += more;
      }
      if (growth >= room) throw corrupt('has a record without a sequence');
      let distance = raw[frame++] ?? 0xff;
      if (distance > 0x7f) {
        const high = raw[frame++] ?? 0xff;
        if (high > 0 && high < 0x80) distance = (high << 7) | (distance & 0x7f);
        else {
          distance = varintAt(raw, frame - 2);
          frame += varintBytes(distance) - 2;
        }
      }
      age += (tag & EARLIER) === 0 ? distance : -distance;
      if (age < oldest) oldest = age;
      if (age > newest) newest = age;
      fields[field] = tag | ((runs.length - 1) << RUN_SHIFT);
      fields[field + 1] = growth;
      ages[index] = age;
      let keyBytes = raw[frame++] ?? 0xff;
      if (keyBytes > 0x7f) {
        const high = raw[frame++] ?? 0xff;
        if (high > 0 && high < 0x80) keyBytes = (high << 7) | (keyBytes & 0x7f);
        else {
          keyBytes = varintAt(raw, frame - 2);
          frame += varintBytes(keyBytes) - 2;
        }
      }
      at += keyBytes;
      fields[field + 2] = at;
      if ((tag & HAS_AFTER) !== 0) {
        let afterBytes = raw[frame++] ?? 0xff;
        if (afterBytes > 0x7f) {
          const high = raw[frame++] ?? 0xff;
          if (high > 0 && high < 0x80) afterBytes = (high << 7) | (afterBytes & 0x7f);
          else {
            afterBytes = varintAt(raw, frame - 2);
            frame += varintBytes(afterBytes) - 2;
          }
        }
        at += afterBytes;
      }
      fields[field + 3] = at;
      if ((tag & HAS_BEFORE) !== 0) {
        let beforeBytes = raw[frame++] ?? 0xff;
        if (beforeBytes > 0x7f) {
          const high = raw[frame++] ?? 0xff;
          if (high > 0 && high < 0x80) beforeBytes = (high << 7) | (beforeBytes & 0x7f);
          else {
            beforeBytes = varintAt(raw, frame - 2);
            frame += varintBytes(beforeBytes) - 2;
          }
        }
        at += beforeBytes;
      }
      if (at > bodiesEnd) throw corrupt('has a record that is longer than its block');
      fields[field + 4] = at;
      field += FIELDS;
    }
    if (frame < raw.length) throw corrupt('has bytes that belong to nothing');
    if (at < bodiesEnd) throw corrupt('has bytes that belong to no record');
    if (oldest !== 0 || newest !== maxCommitMs - minCommitMs) {
      throw corrupt('has a block with other commit times than its index says');
    }
    this.#raw = raw;
    this.#minCommitMs = minCommitMs;
    this.#runs = runs;
  }

  /** The record at `index`: valid until the next call. */
  at(index: number): ChangeRecord {
    this.#index = index;
    this.#field = index * FIELDS;
    return this;
  }

  get kind(): ChangeKind {
    return KINDS[this.#fields[this.#field]! & KIND_BITS]!;
  }

  get table(): number {
    return this.#run.table;
  }

  get shard(): number {
    return this.#run.shard;
  }

  get sequence(): string {
    const { sequence, tail } = this.#run;
    const growth = this.#fields[this.#field + 1]!;
    if (growth === 0) return sequence;
    const digits = Math.min(sequence.length, TAIL_DIGITS);
    return sequence.slice(0, -digits) + String(tail + growth).padStart(digits, '0');
  }

  get commitMs(): number {
    return this.#minCommitMs + this.#ages[this.#index]!;
  }

  get key(): Uint8Array {
    const start = this.#index === 0 ? BODIES_AT : this.#fields[this.#field - 1]!;
    return this.#view(start, this.#fields[this.#field + 2]!);
  }

  get after(): Uint8Array | undefined {
    if ((this.#fields[this.#field]! & HAS_AFTER) === 0) return undefined;
    return this.#view(this.#fields[this.#field + 2]!, this.#fields[this.#field + 3]!);
  }

  get before(): Uint8Array | undefined {
    if ((this.#fields[this.#field]! & HAS_BEFORE) === 0) return undefined;
    return this.#view(this.#fields[this.#field + 3]!, this.#fields[this.#field + 4]!);
  }

  get #run(): Run {
    return this.#runs[this.#fields[this.#field]! >>> RUN_SHIFT]!;
  }

  #view(start: number, end: number): Buffer {
    return this.#raw.subarray(start, end);
  }
}
