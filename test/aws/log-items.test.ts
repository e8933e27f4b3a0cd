import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { entryAttributes, entryKey, headAttributes, readEntry, readHead } from '#lib/aws/log-items.ts';
import type { Entry, Head } from '#lib/domain/log.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';

const lsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(parseLsn);
const epoch = fc.integer({ min: 0, max: 0xffff_ffff }).map(parseEpoch);
const hash = fc.stringMatching(/^[0-9a-f]{64}$/);
const ms = fc.integer({ min: 0, max: 8_640_000_000_000_000 });
const size = fc.bigInt({ min: 0n, max: 10n ** 37n });
const shard = fc.stringMatching(/^shardId-[0-9]{20}-[0-9a-f]{8}$/);
const marks = fc.dictionary(shard, fc.record({ sequence: fc.stringMatching(/^[0-9]{1,40}$/), atMs: ms }), {
  noNullPrototype: true,
});

const anyHead: fc.Arbitrary<Head> = fc.record({
  firstLsn: lsn,
  lastLsn: lsn,
  lastEpoch: epoch,
  sealedEpoch: epoch,
  chain: hash,
  totalBytes: size,
  lastCommitMs: ms,
  marks,
  generation: fc.nat(),
  unlinkedAtMs: ms,
});
const anyEntry: fc.Arbitrary<Entry> = fc.record({
  first: lsn,
  count: fc.nat(),
  bytes: fc.maxSafeNat(),
  epoch,
  hash,
  prev: hash,
  chain: hash,
  totalBytes: size,
  minCommitMs: ms,
  maxCommitMs: ms,
  marks,
});

const [head, entry] = [
  fc.sample(anyHead, { numRuns: 1, seed: 7 })[0]!,
  fc.sample(anyEntry, { numRuns: 1, seed: 7 })[0]!,
];
const key = { lane: { S: 'orders#0' }, at: { S: 'head' } };
const invalid = expect.objectContaining({
  code: 'STORED_ITEM_INVALID',
  message: expect.stringContaining('orders#0 head'),
});

describe('items of the log table', () => {
  test('give back the head and the entry that were written', () => {
    fc.assert(
      fc.property(
        anyHead,
        (each) => void expect(readHead({ ...key, ...headAttributes(each) })).toEqual(each),
      ),
    );
    fc.assert(
      fc.property(
        anyEntry,
        (each) => void expect(readEntry({ ...key, ...entryAttributes(each) })).toEqual(each),
      ),
    );
  });

  test('of another version are refused', () => {
    for (const v of [{ N: '2' }, { N: '0' }, { S: '1' }]) {
      expect(() => readHead({ ...key, ...headAttributes(head), v })).toThrow(invalid);
      expect(() => readEntry({ ...key, ...entryAttributes(entry), v })).toThrow(invalid);
    }
  });

  test('that lack an attribute are refused, whichever it is', () => {
    for (const name of Object.keys(headAttributes(head))) {
      const { [name]: _, ...rest } = headAttributes(head);
      expect(() => readHead({ ...key, ...rest }), name).toThrow(invalid);
    }
    for (const name of Object.keys(entryAttributes(entry))) {
      const { [name]: _, ...rest } = entryAttributes(entry);
      expect(() => readEntry({ ...key, ...rest }), name).toThrow(invalid);
    }
  });

  test.each([
    ['lastLsn', { N: '-1' }],
    ['lastLsn', { N: '1.5' }],
    ['lastLsn', { S: '1' }],
    ['sealedEpoch', { N: '1E3' }],
    ['chain', { S: 'F'.repeat(64) }],
    ['chain', { S: 'f'.repeat(63) }],
    ['marks', { M: { a: { M: { s: { S: '1' } } } } }],
    ['marks', { S: '{}' }],
  ])('with %s of %j are refused', (name, value) => {
    expect(() => readHead({ ...key, ...headAttributes(head), [name]: value })).toThrow(invalid);
  });

  test('may bear attributes of a later release of the same version', () => {
    expect(readHead({ ...key, ...headAttributes(head), later: { BOOL: true } })).toEqual(head);
  });

  test('stand in the order of their LSNs, before the head', () => {
    fc.assert(
      fc.property(lsn, lsn, (a, b) => {
        expect(entryKey(a) < entryKey(b)).toBe(a < b);
        expect(entryKey(a) < 'head').toBe(true);
      }),
    );
  });
});
