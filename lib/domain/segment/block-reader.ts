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
  TAIL_LIMIT,
} from '#lib/domain/segment/frame.ts';

/** The records of a block of `object`, once all of it has passed. Indexes are below the limits given. */
export function readBlock(
  object: Buffer,
  block: PlacedBlock,
  tables: number,
  shards: number,
): readonly ChangeRecord[] {
  const { offset, storedBytes, rawBytes } = block;
  const frame = offset + BLOCK_HEADER_BYTES;
  const end = frame + storedBytes;
  if (object.readUInt32LE(offset) !== crcOf(object, offset + CRC_BYTES, end)) {
    throw corrupt('has a block that fails its checksum');
  }
  const raw = decompressBlock(object.subarray(frame, end), rawBytes);
  const bodies = raw.length < BODIES_AT ? raw.length : BODIES_AT + raw.readUInt32LE(0);
  if (bodies >= raw.length) throw corrupt('has a block without frames');
  return takeRecords(raw, bodies, block, tables, shards);
}

function takeRecords(
  raw: Buffer,
  bodiesEnd: number,
  { count, minCommitMs, maxCommitMs }: PlacedBlock,
  tables: number,
  shards: number,
): readonly ChangeRecord[] {
  const frames = new ByteReader(raw.subarray(bodiesEnd));
  const records: ChangeRecord[] = [];
  let at = BODIES_AT;
  let table = 0;
  let shard = 0;
  let head = '';
  let tail = 0;
  let tailDigits = 0;
  let commitMs = 0;
  for (let index = 0; index < count; index += 1) {
    const tag = frames.u8();
    const kind = KINDS[tag & KIND_BITS];
    if (kind === undefined) throw corrupt('has a record of an unknown kind');
    if ((tag & ELSEWHERE) !== 0) {
      table = frames.varint();
      shard = frames.varint();
    }
    if (table >= tables || shard >= shards) throw corrupt('has a record of no table or shard');
    if ((tag & ALL_DIGITS) === 0) {
      tail += frames.varint();
      if (tail >= TAIL_LIMIT || tailDigits === 0) throw corrupt('has a record without a sequence');
    } else {
      const sequence = frames.sequence();
      tailDigits = Math.min(sequence.length, TAIL_DIGITS);
      head = sequence.slice(0, -tailDigits);
      tail = Number(sequence.slice(-tailDigits));
    }
    const distance = frames.varint();
    commitMs += (tag & EARLIER) === 0 ? distance : -distance;
    if (commitMs < minCommitMs || commitMs > maxCommitMs) {
      throw corrupt('has a record outside the commit times of its block');
    }
    const afterAt = at + frames.varint();
    const beforeAt = (tag & HAS_AFTER) === 0 ? afterAt : afterAt + frames.varint();
    const end = (tag & HAS_BEFORE) === 0 ? beforeAt : beforeAt + frames.varint();
    if (end > bodiesEnd) throw corrupt('has a record that is longer than its block');
    records.push(
      new BlockRecord(
        kind,
        table,
        shard,
        commitMs,
        tag,
        head,
        tail,
        tailDigits,
        raw,
        at,
        afterAt,
        beforeAt,
        end,
      ),
    );
    at = end;
  }
  frames.done();
  if (at < bodiesEnd) throw corrupt('has bytes that belong to no record');
  return records;
}

/**
 * A record in a decompressed block. What costs an allocation is made when it is asked for, so that to skim a
 * segment takes a fraction of what it takes to unpack it.
 */
class BlockRecord implements ChangeRecord {
  readonly kind: ChangeKind;
  readonly table: number;
  readonly shard: number;
  readonly commitMs: number;
  readonly #tag: number;
  readonly #head: string;
  readonly #tail: number;
  readonly #tailDigits: number;
  readonly #raw: Buffer;
  readonly #keyAt: number;
  readonly #afterAt: number;
  readonly #beforeAt: number;
  readonly #end: number;

  constructor(
    kind: ChangeKind,
    table: number,
    shard: number,
    commitMs: number,
    tag: number,
    head: string,
    tail: number,
    tailDigits: number,
    raw: Buffer,
    keyAt: number,
    afterAt: number,
    beforeAt: number,
    end: number,
  ) {
    this.kind = kind;
    this.table = table;
    this.shard = shard;
    this.commitMs = commitMs;
    this.#tag = tag;
    this.#head = head;
    this.#tail = tail;
    this.#tailDigits = tailDigits;
    this.#raw = raw;
    this.#keyAt = keyAt;
    this.#afterAt = afterAt;
    this.#beforeAt = beforeAt;
    this.#end = end;
  }

  get sequence(): string {
    return this.#head + String(this.#tail).padStart(this.#tailDigits, '0');
  }

  get key(): Uint8Array {
    return this.#view(this.#keyAt, this.#afterAt);
  }

  get after(): Uint8Array | undefined {
    return (this.#tag & HAS_AFTER) === 0 ? undefined : this.#view(this.#afterAt, this.#beforeAt);
  }

  get before(): Uint8Array | undefined {
    return (this.#tag & HAS_BEFORE) === 0 ? undefined : this.#view(this.#beforeAt, this.#end);
  }

  /** Not `subarray`, which takes several times as long. */
  #view(start: number, end: number): Uint8Array {
    return new Uint8Array(this.#raw.buffer, this.#raw.byteOffset + start, end - start);
  }
}
