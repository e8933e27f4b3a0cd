import type { Item } from '#lib/domain/attribute-value.ts';

/** A stream record as Lambda delivers it: binary values are base64 text, times are Unix seconds. */
export type StreamRecord = {
  readonly eventName?: 'INSERT' | 'MODIFY' | 'REMOVE' | undefined;
  readonly dynamodb?:
    | {
        readonly ApproximateCreationDateTime?: number | undefined;
        readonly Keys?: Item | undefined;
        readonly NewImage?: Item | undefined;
        readonly OldImage?: Item | undefined;
        readonly SequenceNumber?: string | undefined;
        readonly StreamViewType?: string | undefined;
        readonly SizeBytes?: number | undefined;
      }
    | undefined;
  readonly userIdentity?: { readonly type?: string; readonly principalId?: string } | undefined | null;
};

/** Position of a record in its shard; undefined if it has none that is a decimal number. */
export function sequenceOf(record: StreamRecord): string | undefined {
  const sequence: unknown = record.dynamodb?.SequenceNumber;
  return typeof sequence === 'string' && /^[0-9]{1,64}$/.test(sequence) ? sequence : undefined;
}

/** True for a delete that the store itself made because the item had outlived its time to live. */
export function isExpiry(record: StreamRecord): boolean {
  return (
    record.eventName === 'REMOVE' &&
    record.userIdentity?.type === 'Service' &&
    record.userIdentity.principalId === 'dynamodb.amazonaws.com'
  );
}
