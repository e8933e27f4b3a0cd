import type { _Record as SdkRecord, AttributeValue as SdkValue } from '@aws-sdk/client-dynamodb-streams';
import type { AttributeValue, DynamoDBRecord } from 'aws-lambda';

type Image = Record<string, AttributeValue>;

/** A stream record in the JSON form in which Lambda delivers it: binary as base64, time as epoch seconds. */
export type StreamRecord = DynamoDBRecord & {
  readonly eventID: string;
  readonly eventName: 'INSERT' | 'MODIFY' | 'REMOVE';
  readonly eventSource: 'aws:dynamodb';
  readonly eventSourceARN: string;
  readonly awsRegion: string;
  readonly dynamodb: {
    readonly ApproximateCreationDateTime: number;
    readonly Keys: Image;
    readonly NewImage?: Image;
    readonly OldImage?: Image;
    readonly SequenceNumber: string;
    readonly SizeBytes: number;
    readonly StreamViewType: 'KEYS_ONLY' | 'NEW_IMAGE' | 'OLD_IMAGE' | 'NEW_AND_OLD_IMAGES';
  };
  /** Who made the change, if not a user: `{ type: 'Service', principalId: 'dynamodb.amazonaws.com' }` for TTL. */
  readonly userIdentity?: { readonly type: string; readonly principalId: string };
};

/** The form in which Lambda delivers a record as the SDK reads it. Images without binary values are not copied. */
export function toStreamRecord(record: SdkRecord, eventSourceARN: string, awsRegion: string): StreamRecord {
  const change = record.dynamodb ?? {};
  const { PrincipalId, Type } = record.userIdentity ?? {};
  return {
    eventID: record.eventID ?? '',
    eventName: record.eventName ?? 'MODIFY',
    eventVersion: record.eventVersion ?? '1.1',
    eventSource: 'aws:dynamodb',
    awsRegion,
    dynamodb: {
      ApproximateCreationDateTime: (change.ApproximateCreationDateTime?.getTime() ?? 0) / 1000,
      Keys: toImage(change.Keys ?? {}),
      ...(change.NewImage === undefined ? {} : { NewImage: toImage(change.NewImage) }),
      ...(change.OldImage === undefined ? {} : { OldImage: toImage(change.OldImage) }),
      SequenceNumber: change.SequenceNumber ?? '',
      SizeBytes: change.SizeBytes ?? 0,
      StreamViewType: change.StreamViewType ?? 'NEW_AND_OLD_IMAGES',
    },
    ...(PrincipalId === undefined || Type === undefined
      ? {}
      : { userIdentity: { type: Type, principalId: PrincipalId } }),
    eventSourceARN,
  };
}

function toImage(image: Record<string, SdkValue>): Image {
  return encodeMap(image) as Image;
}

/** Copy on write: most values hold no binary and are passed on as they are. */
function encodeMap(map: Record<string, SdkValue>): Record<string, unknown> {
  let copy: Record<string, unknown> | undefined;
  for (const name of Object.keys(map)) {
    const value = map[name]!;
    const encoded = encode(value);
    if (encoded === value) continue;
    copy ??= { ...map };
    // Not a plain assignment: an attribute may be called __proto__.
    Object.defineProperty(copy, name, {
      value: encoded,
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return copy ?? map;
}

function encode(value: SdkValue): unknown {
  if (value.B !== undefined) return { B: base64(value.B) };
  if (value.BS !== undefined) return { BS: value.BS.map(base64) };
  if (value.M !== undefined) {
    const map = encodeMap(value.M);
    return map === value.M ? value : { M: map };
  }
  if (value.L !== undefined) {
    const list = value.L.map(encode);
    return list.every((each, at) => each === value.L[at]) ? value : { L: list };
  }
  return value;
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
