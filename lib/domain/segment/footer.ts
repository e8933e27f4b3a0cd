import type { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import type { ByteWriter } from '#lib/domain/segment/byte-writer.ts';
import {
  BLOCK_HEADER_BYTES,
  corrupt,
  MAX_BLOCK_BYTES,
  MAX_RECORDS,
  MAX_SHARED_BLOCK_BYTES,
} from '#lib/domain/segment/format.ts';
import { MIN_FRAME_BYTES } from '#lib/domain/segment/frame.ts';
import type { Header } from '#lib/domain/segment/header.ts';

/** What a block holds: one line of the sparse index. */
export type Block = {
  /** Length of its zstd frame. */
  readonly storedBytes: number;
  readonly rawBytes: number;
  readonly count: number;
  readonly minCommitMs: number;
  readonly maxCommitMs: number;
};

/** Records of a table by kind. An expiry counts as a delete; statements and markers are `other`. */
export type TableCount = {
  readonly table: string;
  readonly inserts: number;
  readonly updates: number;
  readonly deletes: number;
  readonly other: number;
};

/** A block in its place: the offset of its first byte in the object, and its first record's ordinal. */
export type PlacedBlock = Block & { readonly offset: number; readonly firstOrdinal: number };

export type Footer = { readonly blocks: readonly Block[]; readonly tableCounts: readonly TableCount[] };

/*
 * All varints: number of blocks, then stored length, raw length, record count, oldest commit time and distance
 * to the newest of each (offset and first ordinal follow from these); then for every table of the header
 * inserts, updates, deletes, other.
 */
export function putFooter(out: ByteWriter, { blocks, tableCounts }: Footer): void {
  out.varint(blocks.length);
  for (const block of blocks) {
    out.varint(block.storedBytes);
    out.varint(block.rawBytes);
    out.varint(block.count);
    out.varint(block.minCommitMs);
    out.varint(block.maxCommitMs - block.minCommitMs);
  }
  for (const { inserts, updates, deletes, other } of tableCounts) {
    for (const count of [inserts, updates, deletes, other]) out.varint(count);
  }
}

/**
 * Reads a footer and holds it against the header: the blocks fill [`start`, `end`) of the object without a gap,
 * and counts, sizes and commit times add up to what the header says.
 */
export function takeFooter(
  from: ByteReader,
  header: Header,
  start: number,
  end: number,
): Footer & { readonly blocks: readonly PlacedBlock[] } {
  const blocks: PlacedBlock[] = [];
  let offset = start;
  let firstOrdinal = 0;
  let raw = 0;
  let min = Number.POSITIVE_INFINITY;
  let max = 0;
  for (let left = from.count(MAX_RECORDS, 5); left > 0; left -= 1) {
    const storedBytes = from.upTo(end);
    const rawBytes = from.upTo(MAX_BLOCK_BYTES);
    const count = from.upTo(Math.floor(rawBytes / MIN_FRAME_BYTES));
    const minCommitMs = from.varint();
    const maxCommitMs = minCommitMs + from.upTo(Number.MAX_SAFE_INTEGER - minCommitMs);
    if (count === 0) throw corrupt('has an empty block');
    if (count > 1 && rawBytes > MAX_SHARED_BLOCK_BYTES) throw corrupt('has a block that is too large');
    blocks.push({ offset, storedBytes, rawBytes, firstOrdinal, count, minCommitMs, maxCommitMs });
    offset += BLOCK_HEADER_BYTES + storedBytes;
    firstOrdinal += count;
    raw += rawBytes;
    min = Math.min(min, minCommitMs);
    max = Math.max(max, maxCommitMs);
  }
  let counted = 0;
  const tableCounts = header.tables.map((table) => {
    const [inserts, updates, deletes, other] = [from.varint(), from.varint(), from.varint(), from.varint()];
    counted += inserts + updates + deletes + other;
    return { table, inserts, updates, deletes, other };
  });
  from.done();
  const agrees =
    offset === end &&
    firstOrdinal === header.count &&
    counted === header.count &&
    raw === header.rawBytes &&
    min === header.minCommitMs &&
    max === header.maxCommitMs;
  if (!agrees) throw corrupt('has an index that contradicts its header');
  return { blocks, tableCounts };
}
