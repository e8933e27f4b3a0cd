import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';

export const PK: KeySchema = [{ name: 'pk', type: 'S' }];

/** The record that a table's stream holds of a change from `before` to `after`. Not both are absent. */
export function streamRecord(
  key: KeySchema,
  sequence: number | string,
  before: Item | undefined,
  after: Item | undefined,
): StreamRecord {
  const item = (after ?? before)!;
  return {
    eventName: before === undefined ? 'INSERT' : after === undefined ? 'REMOVE' : 'MODIFY',
    dynamodb: {
      ApproximateCreationDateTime: 1_700_000_000 + Number(sequence),
      Keys: Object.fromEntries(key.map(({ name }) => [name, item[name]!])),
      ...(after && { NewImage: after }),
      ...(before && { OldImage: before }),
      SequenceNumber: String(sequence),
      StreamViewType: 'NEW_AND_OLD_IMAGES',
      SizeBytes: 100,
    },
  };
}

/** An item as it lies in the table: with its stamp, if it bears one. */
export function image(row: { readonly item: Item; readonly stamp: Uint8Array | undefined }): Item {
  return row.stamp === undefined ? row.item : { ...row.item, [STAMP_ATTRIBUTE]: { B: row.stamp } };
}

const encoder = new ItemEncoder();

/** The bytes of an item's key, in a buffer of their own. */
export function keyBytes(schema: KeySchema, item: Item): Buffer {
  encoder.rewind();
  return Buffer.from(encoder.key(item, schema));
}

export function s(text: string): AttributeValue {
  return { S: text };
}

export function n(number: number): AttributeValue {
  return { N: String(number) };
}
