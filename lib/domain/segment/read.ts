import type { ChangeRecord } from '#lib/domain/change.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { BlockRecords } from '#lib/domain/segment/block-reader.ts';
import { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import { type PlacedBlock, type TableCount, takeFooter } from '#lib/domain/segment/footer.ts';
import {
  CRC_BYTES,
  corrupt,
  crcOf,
  END_MAGIC,
  MAGIC,
  PREAMBLE_BYTES,
  startsWith,
  TRAILER_BYTES,
  torn,
  VERSION,
} from '#lib/domain/segment/format.ts';
import { type Header, takeHeader } from '#lib/domain/segment/header.ts';

export type SegmentInfo = Header & {
  readonly version: number;
  /** One for each of `tables`. */
  readonly tableCounts: readonly TableCount[];
  /** The sparse index. */
  readonly blocks: readonly PlacedBlock[];
};

export type Segment = {
  readonly info: SegmentInfo;
  /**
   * Calls `visit` in order for every record whose ordinal (0-based) is at least `from`; blocks before it are not
   * read. A block is checked in full before its first record is handed out. The record is valid during the call
   * only; byte strings taken from it stay valid, as views that keep their whole block alive. Throws
   * SEGMENT_CORRUPT.
   */
  forEach(visit: (record: ChangeRecord, ordinal: number) => void, from?: number): void;
};

/**
 * Checks everything but what the blocks hold. Throws SEGMENT_TORN if the object is truncated, SEGMENT_VERSION if
 * a newer release wrote it, SEGMENT_CORRUPT if it is anything else that no writer wrote.
 */
export function openSegment(bytes: Uint8Array): Segment {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const { version, headerBytes } = openPreamble(view);
  const headerEnd = PREAMBLE_BYTES + headerBytes;
  const start = headerEnd + CRC_BYTES;
  const trailer = view.length - TRAILER_BYTES;
  if (start > trailer) throw corrupt('has a header that is longer than itself');
  if (view.readUInt32LE(headerEnd) !== crcOf(view, PREAMBLE_BYTES, headerEnd)) {
    throw corrupt('has a header that fails its checksum');
  }
  if (!startsWith(view, END_MAGIC, view.length - END_MAGIC.length))
    throw corrupt('does not end as a segment');
  const end = trailer - view.readUInt32LE(trailer);
  if (end < start) throw corrupt('has a footer that is longer than itself');
  if (view.readUInt32LE(trailer + 8) !== crcOf(view, end, trailer + 8)) {
    throw corrupt('has a footer that fails its checksum');
  }
  if (view.readUInt32LE(trailer + 4) !== view.length) throw corrupt('is not as long as its footer says');

  const header = takeHeader(new ByteReader(view.subarray(PREAMBLE_BYTES, headerEnd)));
  const { blocks, tableCounts } = takeFooter(new ByteReader(view.subarray(end, trailer)), header, start, end);
  for (const { offset, storedBytes, rawBytes, count } of blocks) {
    const agrees =
      view.readUInt32LE(offset + 4) === storedBytes &&
      view.readUInt32LE(offset + 8) === rawBytes &&
      view.readUInt32LE(offset + 12) === count;
    if (!agrees) throw corrupt('has a block that contradicts its index');
  }
  const info = { ...header, version, blocks, tableCounts };
  return {
    info,
    forEach(visit, from = 0) {
      const records = new BlockRecords();
      for (const block of blocks) {
        if (block.firstOrdinal + block.count <= from) continue;
        records.load(view, block, info.tables.length, info.shards.length);
        for (let index = Math.max(0, from - block.firstOrdinal); index < block.count; index += 1) {
          visit(records.at(index), block.firstOrdinal + index);
        }
      }
    },
  };
}

function openPreamble(view: Buffer): { version: number; headerBytes: number } {
  if (!startsWith(view, MAGIC)) throw corrupt('does not begin as a segment');
  if (view.length < PREAMBLE_BYTES) throw torn(view.length, PREAMBLE_BYTES);
  const checked = PREAMBLE_BYTES - CRC_BYTES;
  if (view.readUInt32LE(checked) !== crcOf(view, 0, checked))
    throw corrupt('has a start that fails its checksum');
  const version = view.readUInt16LE(8);
  if (version !== VERSION) {
    throw new UnderstudyError(
      'SEGMENT_VERSION',
      `The segment has format version ${version}, this release reads ${VERSION}`,
      'Install the release that wrote it in this Region too.',
    );
  }
  const total = view.readUInt32LE(14);
  if (view.length < total) throw torn(view.length, total);
  if (view.length > total) throw corrupt('has bytes after its end');
  return { version, headerBytes: view.readUInt32LE(10) };
}
