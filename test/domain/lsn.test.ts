import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { advance, LSN_ZERO, parseEpoch, parseLsn, sortableLsn } from '#lib/domain/lsn.ts';

const MAX = 2n ** 64n - 1n;
const anyLsn = fc.bigInt({ min: 0n, max: MAX }).map(parseLsn);

describe('an LSN', () => {
  test('survives its wire form', () => {
    fc.assert(
      fc.property(anyLsn, (lsn) => {
        expect(parseLsn(lsn.toString())).toBe(lsn);
      }),
    );
  });

  test.each([
    '',
    ' ',
    '-1',
    '+1',
    '01',
    '1.0',
    '1e3',
    '0x10',
    ' 1',
    '1 ',
    'NaN',
    `${MAX + 1n}`,
    '99999999999999999999',
    '1'.repeat(30),
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    1e21,
    -1n,
    MAX + 1n,
  ])('is refused where it is not a whole number of 64 bits: %s', (text) => {
    expect(() => parseLsn(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  test('takes both ends of its range', () => {
    expect(parseLsn('0')).toBe(LSN_ZERO);
    expect(parseLsn(`${MAX}`)).toBe(MAX);
  });

  test('moves on by a number of records and refuses to leave its range', () => {
    expect(advance(parseLsn(5), 3)).toBe(8n);
    expect(advance(parseLsn(5), -5n)).toBe(0n);
    expect(() => advance(parseLsn(MAX), 1)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    expect(() => advance(LSN_ZERO, -1)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
  });

  test('orders as sortable text the way the number orders', () => {
    fc.assert(
      fc.property(anyLsn, anyLsn, (a, b) => {
        expect(sortableLsn(a)).toHaveLength(20);
        expect(sortableLsn(a) < sortableLsn(b)).toBe(a < b);
      }),
    );
  });
});

describe('an epoch', () => {
  test('survives its wire form', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff_ffff }), (epoch) => {
        expect(parseEpoch(`${epoch}`)).toBe(epoch);
        expect(parseEpoch(epoch)).toBe(epoch);
      }),
    );
  });

  test.each(['', ' ', '-1', '1.5', '1e3', '0x10', '007', '4294967296', 4_294_967_296, -1, 0.5, Number.NaN])(
    'is refused where it is not a whole number of 32 bits: %s',
    (text) => {
      expect(() => parseEpoch(text)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }));
    },
  );
});
