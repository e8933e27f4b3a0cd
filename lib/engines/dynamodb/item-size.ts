import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { STAMP_COST } from '#lib/engines/dynamodb/stamp.ts';

/** DynamoDB's limit for an item, bytes. */
export const MAX_ITEM_BYTES = 400 * 1024;

/** What that leaves for an item beside the reserved attribute. */
export const MAX_REPLICATED_BYTES = MAX_ITEM_BYTES - STAMP_COST;

export function tooLarge(): UnderstudyError {
  return new UnderstudyError(
    'ITEM_TOO_LARGE',
    `an item leaves less than ${STAMP_COST} of DynamoDB's ${MAX_ITEM_BYTES} bytes for the reserved attribute`,
    'Make the item smaller and write it again; until then followers keep its former state.',
  );
}

/**
 * Size of an item as DynamoDB counts it, bytes (Developer Guide, "DynamoDB item sizes and formats"). For
 * numbers the guide says "approximately"; this never counts less.
 */
export function itemSize(item: Item): number {
  let size = 0;
  for (const name in item) size += Buffer.byteLength(name) + valueSize(item[name]!);
  return size;
}

function valueSize(value: AttributeValue): number {
  if ('S' in value) return Buffer.byteLength(value.S);
  if ('N' in value) return numberSize(value.N);
  if ('B' in value) return binarySize(value.B);
  if ('BOOL' in value || 'NULL' in value) return 1;
  if ('SS' in value) return value.SS.reduce((sum, each) => sum + Buffer.byteLength(each), 0);
  if ('NS' in value) return value.NS.reduce((sum, each) => sum + numberSize(each), 0);
  if ('BS' in value) return value.BS.reduce((sum, each) => sum + binarySize(each), 0);
  if ('L' in value) return value.L.reduce((sum, each) => sum + 1 + valueSize(each), 3);
  return Object.entries(value.M).reduce(
    (sum, [name, each]) => sum + 1 + Buffer.byteLength(name) + valueSize(each),
    3,
  );
}

function numberSize(text: string): number {
  return Math.ceil(text.length / 2) + 1;
}

function binarySize(value: Uint8Array | string): number {
  return typeof value === 'string' ? Buffer.byteLength(value, 'base64') : value.length;
}
