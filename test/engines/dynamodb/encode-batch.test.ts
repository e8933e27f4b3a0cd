import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { ChangeRecord } from '#lib/domain/change.ts';
import { LANE_0, parseGroupId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import { encodeBatch } from '#lib/engines/dynamodb/encode-batch.ts';
import { heartbeatItem, heartbeatKey } from '#lib/engines/dynamodb/heartbeat.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import { itemSize, MAX_ITEM_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { STAMP_ATTRIBUTE, STAMP_COST, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import type { EncodedBatch } from '#lib/ports/capture-engine.ts';
import { anyItem, entriesOf } from '../../support/arbitrary-items.ts';
import { keyBytes, n, PK, s, streamRecord } from '../../support/stream-records.ts';

const SOURCE = { group: parseGroupId('orders'), lane: LANE_0, table: 'orders', key: PK, shard: 'shard-1' };

type Change = {
  readonly kind: ChangeRecord['kind'];
  readonly sequence: string;
  readonly commitMs: number;
  readonly key: Item;
  readonly after: Item | undefined;
  readonly before: Item | undefined;
};

/** What the segment of a batch holds, decoded. */
function changesIn({ segment }: EncodedBatch, key: KeySchema = PK): readonly Change[] {
  if (segment === undefined) return [];
  const opened = openSegment(segment.bytes);
  const decoder = new ItemDecoder(opened.info.schema);
  const changes: Change[] = [];
  opened.forEach((record) => {
    const after = record.after && decoder.item(record.after);
    changes.push({
      kind: record.kind,
      sequence: record.sequence,
      commitMs: record.commitMs,
      key: decoder.key(record.key, key),
      after,
      before: record.before && decoder.before(record.before, after),
    });
  });
  return changes;
}

const A1 = { pk: s('a'), value: n(1) };
const A2 = { pk: s('a'), value: n(2), more: s('x') };

function edited(record: StreamRecord, edit: Partial<NonNullable<StreamRecord['dynamodb']>>): StreamRecord {
  return { ...record, dynamodb: { ...record.dynamodb, ...edit } };
}

function stamped(item: Item, lsn: number, deleting = false): Item {
  const stamp = stampOf(parseEpoch(1), parseLsn(lsn), keyBytes(PK, item), deleting);
  return { ...item, [STAMP_ATTRIBUTE]: { B: Buffer.from(stamp).toString('base64') } };
}

describe('a batch of stream records', () => {
  test('comes out of its segment as kinds, keys and both images, in order', () => {
    const batch = encodeBatch(SOURCE, [
      streamRecord(PK, 101, undefined, A1),
      streamRecord(PK, 102, A1, A2),
      streamRecord(PK, 103, A2, undefined),
    ]);
    const [pk] = [{ pk: s('a') }];
    expect(changesIn(batch)).toEqual([
      { kind: 'insert', sequence: '101', commitMs: 1_700_000_101_000, key: pk, after: A1, before: undefined },
      { kind: 'update', sequence: '102', commitMs: 1_700_000_102_000, key: pk, after: A2, before: A1 },
      { kind: 'delete', sequence: '103', commitMs: 1_700_000_103_000, key: pk, after: undefined, before: A2 },
    ]);
    expect(batch).toMatchObject({ applied: 0, rejects: [] });
    expect(batch.segment!.draft).toMatchObject({
      count: 3,
      minCommitMs: 1_700_000_101_000,
      maxCommitMs: 1_700_000_103_000,
      marks: { 'shard-1': { sequence: '103', atMs: 1_700_000_103_000 } },
    });
    expect(openSegment(batch.segment!.bytes).info).toMatchObject({
      group: 'orders',
      tables: ['orders'],
      shards: ['shard-1'],
      positions: [{ shard: 'shard-1', first: '101', last: '103' }],
    });
  });

  test('brings any two images of a table with a sort key through', () => {
    const schema: KeySchema = [
      { name: 'pk', type: 'B' },
      { name: 'sk', type: 'N' },
    ];
    const key = { pk: { B: 'AAEC' }, sk: n(-7) };
    const source = { ...SOURCE, key: schema };
    fc.assert(
      fc.property(anyItem, anyItem, (before, after) => {
        const [old, now] = [before, after].map((item) => withKey(item, key));
        const [change] = changesIn(encodeBatch(source, [streamRecord(schema, 1, old, now)]), schema);
        expect(change!.key).toEqual({ pk: { B: new Uint8Array([0, 1, 2]) }, sk: n(-7) });
        expect(entriesOf(change!.after!)).toEqual(entriesOf(now!));
        expect(entriesOf(change!.before!)).toEqual(entriesOf(old!));
      }),
      { numRuns: 100 },
    );
  });

  test("keeps a delete by time to live apart from a user's", () => {
    const removal = streamRecord(PK, 1, A1, undefined);
    const by = (type: string, principalId: string) => ({ ...removal, userIdentity: { type, principalId } });
    const kinds = [
      removal,
      { ...removal, userIdentity: null },
      by('Service', 'dynamodb.amazonaws.com'),
      by('User', 'dynamodb.amazonaws.com'),
      by('Service', 'replication.dynamodb.amazonaws.com'),
    ].map((record) => changesIn(encodeBatch(SOURCE, [record]))[0]!.kind);
    expect(kinds).toEqual(['delete', 'delete', 'expiry', 'delete', 'delete']);
    const insert = {
      ...streamRecord(PK, 1, undefined, A1),
      userIdentity: by('Service', 'dynamodb.amazonaws.com').userIdentity,
    };
    expect(changesIn(encodeBatch(SOURCE, [insert]))[0]!.kind).toBe('insert');
  });

  test('skips and counts what an applier wrote, and never ships a stamp', () => {
    const local = { ...stamped(A1, 5), value: n(9) };
    const batch = encodeBatch(SOURCE, [
      streamRecord(PK, 1, undefined, stamped(A1, 5)),
      streamRecord(PK, 2, stamped(A1, 5), local),
      streamRecord(PK, 3, local, stamped(A2, 6)),
      streamRecord(PK, 4, stamped(A2, 6), stamped(A2, 7, true)),
      streamRecord(PK, 5, stamped(A2, 7, true), undefined),
      streamRecord(PK, 6, stamped(A2, 6), undefined),
    ]);
    expect(batch.applied).toBe(4);
    expect(changesIn(batch)).toMatchObject([
      { kind: 'update', sequence: '2', after: { pk: s('a'), value: n(9) }, before: A1 },
      { kind: 'delete', sequence: '6', before: A2 },
    ]);
    expect(batch.segment!.draft.marks).toEqual({ 'shard-1': { sequence: '6', atMs: 1_700_000_006_000 } });
  });

  test('holds no byte of the reserved attribute, in whatever type and image it comes', () => {
    const values: readonly AttributeValue[] = [
      stamped(A1, 5)[STAMP_ATTRIBUTE]!,
      { B: new Uint8Array(17).fill(7) },
      { S: 'SECRET-OF-THE-STAMP' },
      { L: [{ S: 'SECRET-OF-THE-STAMP' }] },
    ];
    const images = [...values, undefined].map((value) => ({
      ...A1,
      ...(value && { [STAMP_ATTRIBUTE]: value }),
    }));
    const records = images.flatMap((before, i) =>
      images.flatMap((after, j) => {
        const sequence = 10 * i + j + 1;
        return [streamRecord(PK, sequence, before, after), streamRecord(PK, sequence, before, undefined)];
      }),
    );
    const batch = encodeBatch(SOURCE, records);
    expect(batch.segment!.draft.count).toBeGreaterThan(20);
    const segment = openSegment(batch.segment!.bytes);
    const bytes: Uint8Array[] = [segment.info.schema];
    segment.forEach(({ key, after, before }) => {
      bytes.push(key, after ?? Buffer.alloc(0), before ?? Buffer.alloc(0));
    });
    const all = Buffer.concat(bytes);
    expect(all.includes(STAMP_ATTRIBUTE)).toBe(false);
    expect(all.includes('SECRET')).toBe(false);
    expect(all.includes(Buffer.from(stampOf(parseEpoch(1), parseLsn(5), keyBytes(PK, A1))))).toBe(false);
    expect(all.includes(Buffer.alloc(17, 7))).toBe(false);
  });

  test('without a local change makes no segment', () => {
    expect(encodeBatch(SOURCE, [])).toEqual({ segment: undefined, applied: 0, rejects: [] });
    expect(encodeBatch(SOURCE, [streamRecord(PK, 1, undefined, stamped(A1, 5))])).toEqual({
      segment: undefined,
      applied: 1,
      rejects: [],
    });
  });

  test('marks the last sequence of the batch, be it of a change, of an applied record or of a reject', () => {
    const change = streamRecord(PK, 1, undefined, A1);
    const last = (record: StreamRecord) =>
      encodeBatch(SOURCE, [change, record]).segment!.draft.marks['shard-1']!.sequence;
    expect(last(streamRecord(PK, 2, A1, A2))).toBe('2');
    expect(last(streamRecord(PK, 3, A1, stamped(A2, 5)))).toBe('3');
    expect(last(edited(streamRecord(PK, 4, A1, A2), { Keys: {} }))).toBe('4');
  });

  test.each<readonly [string, unknown]>([
    ['a word', 'next'],
    ['nothing', ''],
    ['a number', 7],
    ['more digits than any sequence has', '9'.repeat(65)],
    ['letters that order after every number', 'z'.repeat(60)],
  ])('never marks a sequence that is %s', (_, sequence) => {
    const good = streamRecord(PK, 1, undefined, A1);
    for (const image of [A2, stamped(A2, 5)]) {
      const bad = edited(streamRecord(PK, 2, A1, image), { SequenceNumber: sequence as string });
      const batch = encodeBatch(SOURCE, [good, bad]);
      expect(batch.rejects).toMatchObject([{ index: 1, reject: { code: 'CAPTURE_RECORD_REJECTED' } }]);
      expect(batch.segment!.draft.marks['shard-1']!.sequence).toBe('1');
    }
  });

  test('is the same segment whenever it is encoded', () => {
    const records = [streamRecord(PK, 1, undefined, A1), streamRecord(PK, 2, A1, A2)];
    expect(encodeBatch(SOURCE, records)).toEqual(encodeBatch(SOURCE, records));
  });

  test('takes the time of a heartbeat from its image, to the millisecond', () => {
    for (const schema of [
      PK,
      [{ name: 'pk', type: 'N' }],
      [
        { name: 'pk', type: 'B' },
        { name: 'sk', type: 'S' },
      ],
    ] as const) {
      const beat = (atMs: number) => asLambda(heartbeatItem(schema, atMs));
      const source = { ...SOURCE, key: schema };
      const batch = encodeBatch(source, [
        streamRecord(schema, 1, beat(1_700_000_000_111), beat(1_700_000_000_987)),
      ]);
      expect(changesIn(batch, schema)[0]!.commitMs).toBe(1_700_000_000_987);
      expect(batch.segment!.draft).toMatchObject({
        maxCommitMs: 1_700_000_000_987,
        // Marks go by the stream's clock, which all shards share.
        marks: { 'shard-1': { atMs: 1_700_000_001_000 } },
      });
    }
  });

  test('marks the newest heartbeat of the shard, and none where there was none', () => {
    const key = (nth: number) => heartbeatKey(PK, nth).pk;
    const item = { pk: s('a'), _understudyHeartbeatMs: n(1_700_000_009_999) };
    const marked = (...items: readonly Item[]) =>
      encodeBatch(
        SOURCE,
        items.map((each, index) => streamRecord(PK, index + 1, undefined, each)),
      ).segment!.draft.marks['shard-1'];
    expect(marked(item)).toEqual({ sequence: '1', atMs: 1_700_000_001_000 });
    const beats = [heartbeatItem(PK, 1_700_000_001_700, 3), heartbeatItem(PK, 1_700_000_001_500)];
    expect(marked(...beats, item)).toEqual({
      sequence: '3',
      atMs: 1_700_000_003_000,
      beatMs: 1_700_000_001_700,
    });
    // By a clock that is ahead: no later than the stream says.
    expect(marked(heartbeatItem(PK, 1_700_000_009_000))!.beatMs).toBe(1_700_000_001_999);
    expect(new Set([key(0), key(1), key(1_023)].map((each) => JSON.stringify(each))).size).toBe(3);
  });

  test('never takes a heartbeat for later than the stream says: lag would look smaller than it is', () => {
    const ahead = heartbeatItem(PK, 1_700_000_001_000 + 3_600_000);
    const [beat] = changesIn(encodeBatch(SOURCE, [streamRecord(PK, 1, undefined, ahead)]));
    expect(beat!.commitMs).toBe(1_700_000_001_999);
  });

  test('takes the time of the stream for a heartbeat without one, and for other items that look like one', () => {
    const beat = heartbeatItem(PK, 5);
    const lookalike = { ...beat, pk: s('a') };
    const bare = heartbeatKey(PK);
    const records = [
      streamRecord(PK, 1, undefined, lookalike),
      streamRecord(PK, 2, undefined, bare),
      streamRecord(PK, 3, beat, undefined),
    ];
    expect(changesIn(encodeBatch(SOURCE, records)).map(({ commitMs }) => commitMs)).toEqual([
      1_700_000_001_000, 1_700_000_002_000, 1_700_000_003_000,
    ]);
  });
});

describe('a record that cannot be logged', () => {
  const update = streamRecord(PK, 2, A1, A2);
  test.each<readonly [string, unknown]>([
    ['without an event name', { ...update, eventName: undefined }],
    ['of an unknown event name', { ...update, eventName: 'UPSERT' }],
    ['named like a property of every object', { ...update, eventName: 'constructor' }],
    ['without a change', { eventName: 'MODIFY' }],
    ['whose change is null', { eventName: 'MODIFY', dynamodb: null }],
    ['without keys', edited(update, { Keys: undefined })],
    ['with an empty key', edited(update, { Keys: {} })],
    ['with a key of another type', edited(update, { Keys: { pk: n(1) } })],
    ['with a key of null', edited(update, { Keys: { pk: null as never } })],
    ['with a key that is text', edited(update, { Keys: { pk: 'a' as never } })],
    ['without a sequence number', edited(update, { SequenceNumber: undefined })],
    ['with a sequence number that is none', edited(update, { SequenceNumber: '12x' })],
    ['with a time that is none', edited(update, { ApproximateCreationDateTime: Number.NaN })],
    ['with a time before all time', edited(update, { ApproximateCreationDateTime: -5 })],
    ['that inserts over an old image', { ...update, eventName: 'INSERT' }],
    ['that removes and has a new image', { ...update, eventName: 'REMOVE' }],
    ['that modifies without an old image', edited(update, { OldImage: undefined })],
    ['that modifies without a new image', edited(update, { NewImage: undefined })],
    ['with a new image of null', edited(update, { NewImage: null as never })],
    ['with an old image of null', edited(update, { OldImage: null as never })],
    ['with a value of null', edited(update, { NewImage: { ...A2, bad: null as never } })],
    ['with a value of no type', edited(update, { NewImage: { ...A2, bad: {} as never } })],
    ['with a value of text', edited(update, { NewImage: { ...A2, bad: 'text' as never } })],
    ['with a set that is none', edited(update, { NewImage: { ...A2, bad: { SS: null } as never } })],
    ['with a list that is none', edited(update, { NewImage: { ...A2, bad: { L: {} } as never } })],
    ['with a map that is none', edited(update, { NewImage: { ...A2, bad: { M: null } as never } })],
    ['with binary that is none', edited(update, { NewImage: { ...A2, bad: { B: 5 } as never } })],
    ['with a malformed old image', edited(update, { OldImage: { ...A1, bad: { N: 5 } as never } })],
    [
      'with a malformed stamp of null',
      edited(update, { NewImage: { ...A2, [STAMP_ATTRIBUTE]: null as never } }),
    ],
    [
      'with a stamp whose bytes are none',
      edited(update, { NewImage: { ...A2, [STAMP_ATTRIBUTE]: { B: null } as never } }),
    ],
    ['with text that is no Unicode', edited(update, { NewImage: { ...A2, bad: s('\udc00') } })],
    ['with a new image that lacks the key', edited(update, { NewImage: { value: n(1) } })],
    ['with an old image whose key is of another type', edited(update, { OldImage: { pk: n(1) } })],
    ['with a new image that is a number', edited(update, { NewImage: 5 as never })],
  ])('%s is a reject, and the records around it are logged', (_, bad) => {
    const records = [streamRecord(PK, 1, undefined, A1), bad as StreamRecord, streamRecord(PK, 3, A2, A1)];
    const batch = encodeBatch(SOURCE, records);
    expect(changesIn(batch).map(({ sequence }) => sequence)).toEqual(['1', '3']);
    expect(batch.rejects).toEqual([
      {
        index: 1,
        reject: expect.objectContaining({
          lane: '0',
          shard: 'shard-1',
          code: 'CAPTURE_RECORD_REJECTED',
          reason: expect.stringContaining('CAPTURE_RECORD_REJECTED'),
        }),
      },
    ]);
  });

  test('names its key and sequence if it has them, and nothing of its images', () => {
    const bad = edited(update, { NewImage: { ...A2, more: { S: 'SECRET\ud800' } } });
    const [{ reject }] = encodeBatch(SOURCE, [bad]).rejects as [EncodedBatch['rejects'][number]];
    expect(reject.sequence).toBe('2');
    expect(Buffer.from(reject.key!, 'base64')).toEqual(keyBytes(PK, A1));
    expect(JSON.stringify(reject)).not.toContain('SECRET');
  });

  test('of any JSON is a reject or logged, never a failure of the batch', () => {
    const wild = fc.record(
      {
        eventName: fc.constantFrom('INSERT', 'MODIFY', 'REMOVE'),
        dynamodb: fc.record(
          {
            Keys: fc.oneof(fc.constant({ pk: s('a') }), fc.jsonValue()),
            NewImage: fc.jsonValue(),
            OldImage: fc.jsonValue(),
            SequenceNumber: fc.oneof(fc.constant('5'), fc.jsonValue()),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(wild, (bad) => {
        const batch = encodeBatch(SOURCE, [streamRecord(PK, 1, undefined, A1), bad as StreamRecord]);
        expect(batch.segment!.draft.count + batch.rejects.length).toBe(2);
      }),
      { numRuns: 300 },
    );
  });
});

describe('an item near the limit of DynamoDB', () => {
  const room = MAX_ITEM_BYTES - STAMP_COST;
  const sized = (bytes: number): Item => {
    const empty = { pk: s('a'), blob: s('') };
    return { ...empty, blob: s('x'.repeat(bytes - itemSize(empty))) };
  };
  const record = (item: Item, size?: number) =>
    edited(streamRecord(PK, 1, undefined, item), { SizeBytes: size ?? itemSize(item) + 3 });

  test('is logged as long as the reserved attribute still fits', () => {
    expect(itemSize(sized(room))).toBe(room);
    expect(encodeBatch(SOURCE, [record(sized(room))])).toMatchObject({
      rejects: [],
      segment: { draft: { count: 1 } },
    });
  });

  test('is ITEM_TOO_LARGE from the next byte on', () => {
    for (const bytes of [room + 1, MAX_ITEM_BYTES]) {
      const batch = encodeBatch(SOURCE, [record(sized(bytes)), streamRecord(PK, 2, undefined, A1)]);
      expect(batch.rejects).toMatchObject([{ index: 0, reject: { code: 'ITEM_TOO_LARGE', sequence: '1' } }]);
      expect(batch.segment!.draft.count).toBe(1);
    }
  });

  test('is measured in bytes of UTF-8, also where the record does not say its size', () => {
    const wide = { pk: s('a'), blob: s('é'.repeat(room / 2)) };
    const { SizeBytes: _, ...change } = record(wide).dynamodb!;
    expect(encodeBatch(SOURCE, [{ eventName: 'INSERT', dynamodb: change }]).rejects).toMatchObject([
      { reject: { code: 'ITEM_TOO_LARGE' } },
    ]);
  });

  test('may be deleted however large it is, and may shrink', () => {
    const large = sized(MAX_ITEM_BYTES);
    const removal = edited(streamRecord(PK, 1, large, undefined), { SizeBytes: MAX_ITEM_BYTES });
    const shrunk = edited(streamRecord(PK, 2, large, A1), { SizeBytes: MAX_ITEM_BYTES });
    const batch = encodeBatch(SOURCE, [removal, shrunk]);
    expect(batch.rejects).toEqual([]);
    expect(changesIn(batch).map(({ before }) => before && itemSize(before))).toEqual([
      MAX_ITEM_BYTES,
      MAX_ITEM_BYTES,
    ]);
  });
});

describe('a stream of the wrong view type', () => {
  test.each(['NEW_IMAGE', 'OLD_IMAGE', 'KEYS_ONLY'])('%s is a failure of all', (StreamViewType) => {
    const records = [
      streamRecord(PK, 1, undefined, A1),
      edited(streamRecord(PK, 2, undefined, A2), { StreamViewType }),
    ];
    expect(() => encodeBatch(SOURCE, records)).toThrow(
      expect.objectContaining({ code: 'STREAM_VIEW_TYPE', message: expect.stringContaining(StreamViewType) }),
    );
  });
});

describe('the capture engine', () => {
  test('tells the sequence of a record, and encodes for its source', () => {
    const engine = new DynamoCapture({ group: SOURCE.group, table: 'orders', key: PK });
    const record = streamRecord(PK, 7, undefined, A1);
    expect(engine.sequenceOf(record)).toBe('7');
    expect(engine.sequenceOf({})).toBeUndefined();
    for (const sequence of ['', 'x', '1e3', '-1', 7, null]) {
      expect(engine.sequenceOf(edited(record, { SequenceNumber: sequence as string }))).toBeUndefined();
    }
    expect(engine.encode(LANE_0, 'shard-1', [record])).toEqual(encodeBatch(SOURCE, [record]));
  });
});

/** An item whose attributes include those of a key. */
function withKey(item: Item, key: Item): Item {
  return Object.fromEntries([...Object.entries(item), ...Object.entries(key)]);
}

/** Lambda gives binary as base64 text. */
function asLambda(item: Item): Item {
  return Object.fromEntries(
    Object.entries(item).map(([name, value]) => [
      name,
      'B' in value ? { B: Buffer.from(value.B as Uint8Array).toString('base64') } : value,
    ]),
  );
}
