import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  beatenShards,
  compareSequence,
  isCaptured,
  MARK_LIFE_MS,
  type Marks,
  mergeMarks,
} from '#lib/domain/marks.ts';

/** Sequence numbers as DynamoDB writes them: up to 40 digits, with zeros in front or without. */
const digits = fc.bigInt({ min: 0n, max: 10n ** 40n - 1n });
const padded = fc.tuple(digits, fc.integer({ min: 0, max: 5 })).map(([n, zeros]) => '0'.repeat(zeros) + n);
const shard = fc.constantFrom('shardId-1', 'shardId-2', 'shardId-3');
const anyMarks = (atMs: fc.Arbitrary<number>): fc.Arbitrary<Marks> =>
  fc.dictionary(shard, fc.record({ sequence: padded, atMs }), { noNullPrototype: true });
const recent = fc.integer({ min: 1_700_000_000_000, max: 1_700_000_000_000 + MARK_LIFE_MS });

describe('sequence numbers', () => {
  test('compare as the numbers that they are, whatever zeros stand in front', () => {
    fc.assert(
      fc.property(padded, padded, (a, b) => {
        const expected = BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
        expect(Math.sign(compareSequence(a, b))).toBe(expected);
      }),
    );
  });

  test('differ in the last of 40 digits', () => {
    const a = `1${'0'.repeat(38)}1`;
    const b = `1${'0'.repeat(38)}2`;
    expect(compareSequence(a, b)).toBeLessThan(0);
    expect(compareSequence(b, a)).toBeGreaterThan(0);
    expect(compareSequence(`00${a}`, a)).toBe(0);
    expect(compareSequence('0', '000')).toBe(0);
  });
});

describe('marks', () => {
  test('say of each record up to them that it is captured, and of no other', () => {
    const marks = { 'shardId-1': { sequence: '100', atMs: 1 } };
    expect(isCaptured(marks, 'shardId-1', '99')).toBe(true);
    expect(isCaptured(marks, 'shardId-1', '0000100')).toBe(true);
    expect(isCaptured(marks, 'shardId-1', '101')).toBe(false);
    expect(isCaptured(marks, 'shardId-2', '1')).toBe(false);
  });

  test('never go back, in whatever order they are merged', () => {
    fc.assert(
      fc.property(fc.array(anyMarks(recent), { maxLength: 8 }), (moves) => {
        let marks: Marks = {};
        for (const moved of moves) {
          const next = mergeMarks(marks, moved);
          for (const [name, { sequence }] of [...Object.entries(marks), ...Object.entries(moved)]) {
            expect(isCaptured(next, name, sequence)).toBe(true);
          }
          marks = next;
        }
      }),
    );
  });

  test('remember the newest heartbeat of a shard, whatever comes after it', () => {
    const merged = (...moves: readonly Marks[]) => moves.reduce(mergeMarks, {});
    const beat = { 'eu/1': { sequence: '5', atMs: 50, beatMs: 50 } };
    expect(merged(beat, { 'eu/1': { sequence: '6', atMs: 60 } })['eu/1']).toEqual({
      sequence: '6',
      atMs: 60,
      beatMs: 50,
    });
    expect(merged(beat, { 'eu/1': { sequence: '6', atMs: 60, beatMs: 40 } })['eu/1']!.beatMs).toBe(50);
    // A batch that comes again, or late, says nothing new.
    expect(merged(beat, { 'eu/1': { sequence: '4', atMs: 60, beatMs: 70 } })).toEqual(beat);
  });

  test('say in which shards of a Region a heartbeat of some moment has come', () => {
    const marks = {
      'eu/1': { sequence: '1', atMs: 90, beatMs: 50 },
      'eu/2': { sequence: '1', atMs: 90, beatMs: 49 },
      'eu/3': { sequence: '1', atMs: 90 },
      'eu-2/1': { sequence: '1', atMs: 90, beatMs: 60 },
    };
    expect([...beatenShards(marks, 'eu', 50)]).toEqual(['eu/1']);
  });

  test('of shards that can deliver no more are dropped, all others are kept', () => {
    const at = 1_700_000_000_000;
    const marks = {
      old: { sequence: '1', atMs: at - MARK_LIFE_MS - 1 },
      silent: { sequence: '2', atMs: at - MARK_LIFE_MS },
    };
    expect(mergeMarks(marks, { fresh: { sequence: '3', atMs: at } })).toEqual({
      silent: marks.silent,
      fresh: { sequence: '3', atMs: at },
    });
    expect(mergeMarks(marks, {})).toEqual(marks);
  });

  test('are as many as shards were alive in the last two days, however many have come and gone', () => {
    let marks: Marks = {};
    for (let hour = 0; hour < 2_000; hour++) {
      marks = mergeMarks(marks, { [`shard-${hour}`]: { sequence: '1', atMs: hour * 3_600_000 } });
    }
    expect(Object.keys(marks)).toHaveLength(49);
  });
});
