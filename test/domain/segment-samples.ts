import fc from 'fast-check';
import type { ChangeInput, ChangeRecord } from '#lib/domain/change.ts';
import type { Segment } from '#lib/domain/segment/read.ts';
import { SegmentWriter, type WrittenSegment } from '#lib/domain/segment/write.ts';

export const SOURCE = {
  tables: ['orders', 'users'],
  shards: ['shardId-1', 'shardId-2'],
  schema: Buffer.from('["id","total"]'),
};

/** `count` changes of both tables, of every kind and shape, alike in every run. */
export function samples(count: number): ChangeRecord[] {
  const kinds = ['insert', 'update', 'delete', 'expiry', 'statement', 'marker'] as const;
  return Array.from({ length: count }, (_, index) => ({
    kind: kinds[index % kinds.length]!,
    table: index % 7 === 0 ? 1 : 0,
    shard: index % 5 === 0 ? 1 : 0,
    sequence: String(100_000_000_000_000_000_000n + BigInt(index * index)),
    commitMs: 1_790_000_000_000 + ((index * 17) % 50),
    key: Buffer.from(`key-${index}`),
    after: index % 3 === 2 ? undefined : Buffer.from(`after ${index} `.repeat(1 + (index % 3))),
    before: index % 4 === 0 ? undefined : Buffer.from(index % 4 === 1 ? '' : `before ${index}`),
  }));
}

export const anyRecord: fc.Arbitrary<ChangeRecord> = fc.record({
  kind: fc.constantFrom('insert', 'update', 'delete', 'expiry', 'statement', 'marker'),
  table: fc.nat(SOURCE.tables.length - 1),
  shard: fc.nat(SOURCE.shards.length - 1),
  sequence: fc.oneof(
    fc.stringMatching(/^[0-9]{1,64}$/),
    fc.bigInt(10n ** 20n, 10n ** 20n + 10n ** 6n).map(String),
    fc.nat(1000).map((value) => String(value).padStart(21, '0')),
  ),
  commitMs: fc.oneof(fc.maxSafeNat(), fc.integer({ min: 1_790_000_000_000, max: 1_790_000_001_000 })),
  key: fc.uint8Array({ maxLength: 40 }),
  after: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }),
  before: fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined }),
});

/** A record as a writer takes it. */
export function input({ key, after, before, ...rest }: ChangeRecord): ChangeInput {
  return {
    ...rest,
    body: Buffer.concat([key, after ?? Buffer.alloc(0), before ?? Buffer.alloc(0)]),
    keyBytes: key.length,
    afterBytes: after?.length,
    beforeBytes: before?.length,
  };
}

export function write(
  records: readonly ChangeRecord[],
  options: { readonly blockBytes?: number } = {},
  source: Parameters<SegmentWriter['finish']>[0] = SOURCE,
): WrittenSegment {
  const writer = new SegmentWriter('demo', options);
  for (const record of records) writer.add(input(record));
  return writer.finish(source);
}

/** All records from ordinal `from` on, in plain objects of their own. */
export function contents(segment: Segment, from = 0): ChangeRecord[] {
  const records: ChangeRecord[] = [];
  segment.forEach((record) => {
    records.push(plain(record));
  }, from);
  return records;
}

/** A copy in which equal bytes are equal, whatever array held them. */
export function plain({
  kind,
  table,
  shard,
  sequence,
  commitMs,
  key,
  after,
  before,
}: ChangeRecord): ChangeRecord {
  const copy = (bytes: Uint8Array | undefined) => bytes && Uint8Array.from(bytes);
  return {
    kind,
    table,
    shard,
    sequence,
    commitMs,
    key: Uint8Array.from(key),
    after: copy(after),
    before: copy(before),
  };
}
