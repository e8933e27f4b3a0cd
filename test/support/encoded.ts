import type { Item } from '#lib/domain/attribute-value.ts';
import type { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';

/** The bytes of an item, copied. */
export function itemBytes(encoder: ItemEncoder, item: Item): Buffer {
  return last(encoder, encoder.item(item));
}

/** The bytes of a difference, copied. */
export function differenceBytes(encoder: ItemEncoder, before: Item, after: Item): Buffer {
  return last(encoder, encoder.difference(before, after));
}

function last(encoder: ItemEncoder, size: number): Buffer {
  const all = encoder.written();
  return Buffer.from(all.subarray(all.length - size));
}
