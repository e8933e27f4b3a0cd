import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { type Epoch, type Lsn, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { itemSize } from '#lib/engines/dynamodb/item-size.ts';
import {
  compareStamps,
  isMark,
  isStampOf,
  originOf,
  readStamp,
  STAMP_ATTRIBUTE,
  STAMP_COST,
  stampOf,
} from '#lib/engines/dynamodb/stamp.ts';

const KEY = Buffer.from('order-1');
const OTHER = Buffer.from('order-2');

const epoch = fc
  .oneof(
    fc.nat(3),
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.constantFrom(255, 256, 0x7fff_ffff, 0x8000_0000),
  )
  .map(parseEpoch);
const lsn = fc
  .oneof(
    fc.bigInt(0n, 3n),
    fc.bigInt(0n, 2n ** 64n - 1n),
    fc.constantFrom(2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n, 2n ** 63n),
  )
  .map(parseLsn);

describe('a stamp', () => {
  test('orders bytewise as (epoch, LSN) does', () => {
    fc.assert(
      fc.property(epoch, lsn, epoch, lsn, fc.uint8Array(), (e1, l1, e2, l2, key) => {
        const order = e1 === e2 ? compare(l1, l2) : compare(e1, e2);
        const a = stampOf(e1, l1, key);
        const b = stampOf(e2, l2, key);
        expect(Math.sign(compareStamps(a, b))).toBe(order);
        expect(Math.sign(Buffer.compare(a, b))).toBe(order);
        // A mark comes before a write of the same LSN, and after all of an earlier one.
        expect(compareStamps(stampOf(e1, l1, key, true), stampOf(e1, l1, key))).toBeLessThan(0);
        if (order !== 0) expect(Math.sign(compareStamps(stampOf(e1, l1, key, true), b))).toBe(order);
      }),
      { numRuns: 500 },
    );
  });

  test('says from which record it comes, for which key, and whether a delete follows', () => {
    fc.assert(
      fc.property(epoch, lsn, fc.boolean(), (e, l, deleting) => {
        const stamp = stampOf(e, l, KEY, deleting);
        expect(readStamp(stamp)).toEqual({ epoch: e, lsn: l });
        expect(isMark(stamp)).toBe(deleting);
        expect(isStampOf(stamp, KEY)).toBe(true);
        expect(isStampOf(stamp, OTHER)).toBe(false);
        // A view into a larger buffer, as the SDK may give.
        const padded = new Uint8Array([9, 9, 9, ...stamp, 9]);
        const view = padded.subarray(3, 3 + stamp.length);
        expect(readStamp(view)).toEqual({ epoch: e, lsn: l });
        expect(isStampOf(view, KEY)).toBe(true);
      }),
    );
  });

  test('costs an item as many bytes as is said', () => {
    expect(itemSize({ [STAMP_ATTRIBUTE]: { B: at(1, 1) } })).toBe(STAMP_COST);
  });
});

const BORNE = at(1, 5);
const LATER = at(1, 6);
const NEXT_EPOCH = at(2, 1);
const EARLIER = at(1, 4);
const MARK = at(1, 6, KEY, true);
const FOREIGN = at(1, 9, OTHER);
const FOREIGN_MARK = at(1, 9, OTHER, true);
const SHORT = LATER.subarray(0, 16);
const LONG = Buffer.concat([LATER, Buffer.from([0])]);

describe('the origin of an insert', () => {
  test.each<readonly [string, AttributeValue | undefined, 'applied' | 'local']>([
    ['without a stamp', undefined, 'local'],
    // By an applier; an application that puts a deleted item back, stamp and all, can't be told from one.
    ['with a stamp of its key', { B: LATER }, 'applied'],
    ['of an item copied from another key, stamp and all', { B: FOREIGN }, 'local'],
    ['with a stamp that is too short', { B: SHORT }, 'local'],
    ['with a stamp that is too long', { B: LONG }, 'local'],
    ['with an empty stamp', { B: new Uint8Array() }, 'local'],
    ['with a stamp that is text', { S: 'stamp' }, 'local'],
    ['with a stamp that is a number', { N: '5' }, 'local'],
    ['with a stamp that is a set', { BS: [LATER] }, 'local'],
    ['with a stamp that is no base64', { B: '!' }, 'local'],
  ])('%s', (_, stamp, origin) => {
    expect(originOf(KEY, undefined, item(stamp))).toBe(origin);
    expect(originOf(KEY, undefined, item(asInLambda(stamp)))).toBe(origin);
  });
});

describe('the origin of an update', () => {
  test.each<readonly [string, AttributeValue | undefined, AttributeValue | undefined, 'applied' | 'local']>([
    ['of an item that never had a stamp', undefined, undefined, 'local'],
    ['that leaves the stamp', { B: BORNE }, { B: BORNE }, 'local'],
    ['that drops the stamp', { B: BORNE }, undefined, 'local'],
    ['that raises the LSN', { B: BORNE }, { B: LATER }, 'applied'],
    ['that raises the epoch', { B: BORNE }, { B: NEXT_EPOCH }, 'applied'],
    ['that brings the first stamp', undefined, { B: LATER }, 'applied'],
    ['that marks the item', { B: BORNE }, { B: MARK }, 'applied'],
    ['that marks an item without a stamp', undefined, { B: MARK }, 'applied'],
    ['that writes over a mark', { B: MARK }, { B: NEXT_EPOCH }, 'applied'],
    ['that leaves the mark', { B: MARK }, { B: MARK }, 'local'],
    ['that brings back a stamp read before the last one', { B: BORNE }, { B: EARLIER }, 'local'],
    ['that takes a mark back', { B: MARK }, { B: BORNE }, 'local'],
    ['by the item of another key', { B: BORNE }, { B: FOREIGN }, 'local'],
    ['by the item of another key, of one without a stamp', undefined, { B: FOREIGN }, 'local'],
    ['that leaves the stamp of another key', { B: FOREIGN }, { B: FOREIGN }, 'local'],
    ['that drops the stamp of another key', { B: FOREIGN }, undefined, 'local'],
    ['that replaces the stamp of another key', { B: FOREIGN }, { B: BORNE }, 'applied'],
    ['that replaces a malformed stamp', { B: LONG }, { B: EARLIER }, 'applied'],
    ['that replaces a stamp of another type', { S: 'x' }, { B: EARLIER }, 'applied'],
    ['that shortens the stamp', { B: BORNE }, { B: SHORT }, 'local'],
    ['that makes the stamp text', { B: BORNE }, { S: LATER.toString('base64') }, 'local'],
  ])('%s', (_, before, after, origin) => {
    expect(originOf(KEY, item(before), item(after))).toBe(origin);
    expect(originOf(KEY, item(asInLambda(before)), item(asInLambda(after)))).toBe(origin);
  });
});

describe('the origin of a delete', () => {
  test.each<readonly [string, AttributeValue | undefined, 'applied' | 'local']>([
    ['of an item without a stamp', undefined, 'local'],
    ['of an applied item', { B: BORNE }, 'local'],
    ['of a marked item', { B: MARK }, 'applied'],
    ['of an item copied from a marked one', { B: FOREIGN_MARK }, 'local'],
    ['of an item with a malformed mark', { B: MARK.subarray(1) }, 'local'],
    ['of an item with a stamp of another type', { S: MARK.toString('base64') }, 'local'],
  ])('%s', (_, before, origin) => {
    expect(originOf(KEY, item(before), undefined)).toBe(origin);
    expect(originOf(KEY, item(asInLambda(before)), undefined)).toBe(origin);
  });
});

function at(epoch: number, lsn: number, key: Uint8Array = KEY, deleting = false): Buffer {
  return Buffer.from(stampOf(epoch as Epoch, BigInt(lsn) as Lsn, key, deleting));
}

function item(stamp: AttributeValue | undefined): Item {
  return { pk: { S: 'order-1' }, ...(stamp && { [STAMP_ATTRIBUTE]: stamp }) };
}

/** Lambda gives binary as base64 text. */
function asInLambda(value: AttributeValue | undefined): AttributeValue | undefined {
  if (value === undefined || !('B' in value) || typeof value.B === 'string') return value;
  return { B: Buffer.from(value.B).toString('base64') };
}

function compare<T extends number | bigint>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
