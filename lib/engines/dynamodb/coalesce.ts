import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import { latin1Text } from '#lib/engines/dynamodb/short-text.ts';
import type { PlacedSegment } from '#lib/ports/replica-store.ts';

/** The one write that a run of records comes to for a key: its last record decides. */
export type KeyWrite = {
  readonly key: Uint8Array;
  /** Was the key's first record of the run an insert? Then the item is most likely absent. */
  readonly fresh: boolean;
  epoch: Epoch;
  first: Lsn;
  ordinal: number;
  decoder: ItemDecoder;
  /** Image after the last record; undefined for a delete. */
  after: Uint8Array | undefined;
};

/** LSN of the record that decides a key's write. */
export function lsnOf(write: KeyWrite): Lsn {
  return advance(write.first, write.ordinal);
}

/**
 * The writes that a run of consecutive segments comes to, one a key, in the order of the keys' first records.
 * Images that a later record of the run replaces are never decoded.
 */
export function coalesce(run: readonly PlacedSegment[]): readonly KeyWrite[] {
  const writes = new Map<string, KeyWrite>();
  for (const { entry, bytes } of run) {
    const segment = openSegment(bytes);
    const decoder = new ItemDecoder(segment.info.schema);
    segment.forEach((record, ordinal) => {
      const { key, after, kind } = record;
      const text = latin1(key);
      const known = writes.get(text);
      if (known === undefined) {
        const fresh = kind === 'insert';
        writes.set(text, { key, fresh, epoch: entry.epoch, first: entry.first, ordinal, decoder, after });
        return;
      }
      known.epoch = entry.epoch;
      known.first = entry.first;
      known.ordinal = ordinal;
      known.decoder = decoder;
      known.after = after;
    });
  }
  return [...writes.values()];
}

/** Bytes as text of as many characters: a map's key. */
function latin1(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return latin1Text(buffer, 0, buffer.length);
}
