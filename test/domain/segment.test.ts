import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ChangeRecord } from '#lib/domain/change.ts';
import { isFailure } from '#lib/domain/errors.ts';
import { MAX_BLOCK_BYTES } from '#lib/domain/segment/format.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { SegmentWriter } from '#lib/domain/segment/write.ts';
import { anyRecord, contents, input, plain, SOURCE, samples, write } from './segment-samples.ts';

const [sample] = samples(1) as [ChangeRecord];

describe('a segment', () => {
  it('gives back the records that were added, in order, whatever they hold', () => {
    fc.assert(
      fc.property(
        fc.array(anyRecord, { minLength: 1, maxLength: 60 }),
        fc.integer({ min: 64, max: 4096 }),
        (records, blockBytes) => {
          const { bytes, count } = write(records, { blockBytes });
          expect(count).toBe(records.length);
          expect(contents(openSegment(bytes))).toEqual(records.map(plain));
        },
      ),
      { numRuns: 300 },
    );
  });

  it('gives back names, schema and group, whatever they hold', () => {
    const name = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(
        name,
        fc.uniqueArray(name, { minLength: 2, maxLength: 9 }),
        fc.uniqueArray(name, { minLength: 2, maxLength: 9 }),
        fc.uint8Array({ maxLength: 200 }),
        (group, tables, shards, schema) => {
          const writer = new SegmentWriter(group);
          writer.add(input(sample));
          const { info } = openSegment(writer.finish({ tables, shards, schema }).bytes);
          expect(info).toMatchObject({ version: 1, group, tables, shards });
          expect(Uint8Array.from(info.schema)).toEqual(schema);
          expect(info.schemaHash).toBe(createHash('sha256').update(schema).digest('hex'));
        },
      ),
    );
  });

  it('says what it holds: counts, commit times, source positions', () => {
    const records = samples(100);
    const written = write(records, { blockBytes: 512 });
    const { info } = openSegment(written.bytes);
    const times = records.map(({ commitMs }) => commitMs);
    const of = (shard: number) => records.filter((record) => record.shard === shard);
    const summary = {
      count: 100,
      rawBytes: written.rawBytes,
      minCommitMs: Math.min(...times),
      maxCommitMs: Math.max(...times),
      positions: SOURCE.shards.map((shard, index) => ({
        shard,
        first: of(index).at(0)?.sequence,
        last: of(index).at(-1)?.sequence,
      })),
    };
    expect(written).toMatchObject(summary);
    expect(info).toMatchObject(summary);
    expect(written.hash).toBe(createHash('sha256').update(written.bytes).digest('hex'));
    const counted = (table: number, ...kinds: string[]) =>
      records.filter((record) => record.table === table && kinds.includes(record.kind)).length;
    expect(info.tableCounts).toEqual(
      SOURCE.tables.map((table, index) => ({
        table,
        inserts: counted(index, 'insert'),
        updates: counted(index, 'update'),
        deletes: counted(index, 'delete', 'expiry'),
        other: counted(index, 'statement', 'marker'),
      })),
    );
  });

  it('leaves out the position of a shard without records', () => {
    const { positions } = write([{ ...sample, shard: 1 }]);
    expect(positions.map(({ shard }) => shard)).toEqual([SOURCE.shards[1]]);
  });

  it('is the same bytes for the same records', () => {
    fc.assert(
      fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 30 }), (records) => {
        const copies = records.map(plain);
        expect(write(records, { blockBytes: 500 }).hash).toBe(write(copies, { blockBytes: 500 }).hash);
      }),
    );
  });

  it('does not depend on what its writer wrote before', () => {
    const writer = new SegmentWriter('demo', { blockBytes: 512 });
    for (const record of samples(77)) writer.add(input(record));
    writer.finish(SOURCE);
    expect([writer.count, writer.rawBytes]).toEqual([0, 0]);
    for (const record of samples(30)) writer.add(input(record));
    expect(writer.finish(SOURCE).hash).toBe(write(samples(30), { blockBytes: 512 }).hash);
  });

  it('does not depend on records that were refused in between', () => {
    const writer = new SegmentWriter('demo');
    for (const record of samples(30)) {
      writer.add(input(record));
      expect(() => writer.add(input({ ...record, sequence: `${record.sequence.slice(0, -1)}x` }))).toThrow();
    }
    expect(writer.finish(SOURCE).hash).toBe(write(samples(30)).hash);
  });

  it('starts from any ordinal without reading the blocks before it', () => {
    const records = samples(100);
    const { bytes } = write(records, { blockBytes: 512 });
    const { blocks } = openSegment(bytes).info;
    expect(blocks.length).toBeGreaterThan(5);
    for (let from = 0; from <= 101; from += 1) {
      expect(contents(openSegment(bytes), from)).toEqual(records.slice(from).map(plain));
    }
    const torn = Uint8Array.from(bytes);
    const [first, second] = blocks as [(typeof blocks)[0], (typeof blocks)[0]];
    torn[first.offset + 20]! ^= 1;
    const seen: number[] = [];
    openSegment(torn).forEach((_, ordinal) => {
      seen.push(ordinal);
    }, second.firstOrdinal);
    expect(seen[0]).toBe(second.firstOrdinal);
    expect(() => contents(openSegment(torn))).toThrow();
  });

  it('gives a record larger than a block a block of its own', () => {
    const records = samples(9).map((record, index) =>
      index === 4 ? { ...record, after: Buffer.alloc(3 << 20, 'large') } : record,
    );
    const { bytes } = write(records);
    expect(openSegment(bytes).info.blocks.map(({ count }) => count)).toEqual([4, 1, 4]);
    expect(contents(openSegment(bytes))[4]).toEqual(plain(records[4]!));
  });

  it('holds 10^5 records', () => {
    const records = samples(100_000);
    const { bytes, rawBytes } = write(records);
    expect(bytes.length).toBeLessThan(rawBytes / 2);
    let next = 0;
    openSegment(bytes).forEach((record, ordinal) => {
      const expected = records[ordinal]!;
      const same =
        ordinal === next &&
        record.sequence === expected.sequence &&
        record.commitMs === expected.commitMs &&
        Buffer.from(record.key).equals(expected.key);
      if (!same) expect(plain(record)).toEqual(plain(expected));
      next += 1;
    });
    expect(next).toBe(100_000);
  });

  it('opens from the middle of another buffer', () => {
    const { bytes } = write(samples(20), { blockBytes: 256 });
    const around = Buffer.concat([Buffer.alloc(13, 'x'), bytes, Buffer.alloc(7, 'x')]);
    expect(contents(openSegment(around.subarray(13, -7)))).toEqual(samples(20).map(plain));
  });
});

describe('the writer', () => {
  it.each<[string, Partial<ChangeRecord>]>([
    ['an empty sequence', { sequence: '' }],
    ['a sequence with a sign', { sequence: '-1' }],
    ['a sequence of other digits', { sequence: '١٢٣' }],
    ['a sequence of 65 digits', { sequence: '1'.repeat(65) }],
    ['a commit time before 1970', { commitMs: -1 }],
    ['half a millisecond', { commitMs: 0.5 }],
    ['a commit time that is no number', { commitMs: Number.NaN }],
    ['a table out of range', { table: 65_536 }],
    ['a negative shard', { shard: -1 }],
    ['an image that fits no block', { after: new Uint8Array(MAX_BLOCK_BYTES) }],
  ])('refuses a record with %s', (_, wrong) => {
    const writer = new SegmentWriter('demo');
    expect(failure(() => writer.add(input({ ...sample, ...wrong })))).toBe('CAPTURE_RECORD_REJECTED');
    expect([writer.count, writer.rawBytes]).toEqual([0, 0]);
  });

  it('refuses a source that does not name what records refer to, and keeps the records', () => {
    const writer = new SegmentWriter('demo');
    writer.add(input({ ...sample, table: 1 }));
    expect(failure(() => writer.finish({ ...SOURCE, tables: ['orders'] }))).toBe('CONFIG_INVALID');
    expect(failure(() => writer.finish({ ...SOURCE, shards: [] }))).toBe('CONFIG_INVALID');
    expect(failure(() => writer.finish({ ...SOURCE, tables: ['orders', 'orders'] }))).toBe('CONFIG_INVALID');
    expect(failure(() => writer.finish({ ...SOURCE, shards: ['a', '\ud800'] }))).toBe('CONFIG_INVALID');
    expect(failure(() => writer.finish({ ...SOURCE, shards: ['a', 'b'.repeat(1025)] }))).toBe(
      'CONFIG_INVALID',
    );
    expect(writer.finish(SOURCE).count).toBe(1);
  });

  it('refuses a segment without records, a name that is too long, a block size out of range', () => {
    expect(failure(() => new SegmentWriter('demo').finish(SOURCE))).toBe('CONFIG_INVALID');
    expect(failure(() => new SegmentWriter('x'.repeat(2000)))).toBe('CONFIG_INVALID');
    for (const blockBytes of [0, 63, 64.5, Number.NaN, 2 << 20]) {
      expect(failure(() => new SegmentWriter('demo', { blockBytes }))).toBe('CONFIG_INVALID');
    }
  });

  it('refuses records beyond 256 MiB', () => {
    const writer = new SegmentWriter('demo');
    const large = { ...sample, after: new Uint8Array(15 << 20) };
    for (let count = 0; count < 17; count += 1) writer.add(input(large));
    expect(failure(() => writer.add(input(large)))).toBe('CONFIG_INVALID');
    expect(writer.count).toBe(17);
  });
});

function failure(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (isFailure(error)) return error.code;
    throw error;
  }
  return undefined;
}
