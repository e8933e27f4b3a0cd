import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkNumber } from '#lib/local/load/number-text.ts';

const digits38 = '12345678901234567890123456789012345678';

describe('checkNumber', () => {
  test.each([
    '0',
    '-0',
    '1',
    '007',
    '1.50',
    '.5',
    '5.',
    '+3',
    '1e5',
    '0e999',
    digits38,
    `-0.${digits38}`,
    `${digits38}000000`,
    '1E-130',
    '0.1e-129',
    '1E+125',
    '9.9999999999999999999999999999999999999E+125',
  ])('takes %s', (text) => {
    expect(checkNumber(text).kind).toBe('number');
  });

  test.each([
    ['', 'not a number'],
    ['-', 'not a number'],
    ['.', 'not a number'],
    ['1e', 'not a number'],
    [' 1', 'not a number'],
    ['0x10', 'not a number'],
    ['NaN', 'not a number'],
    ['Infinity', 'not a number'],
    ['1_000', 'not a number'],
    [`${digits38}9`, '39 significant digits'],
    ['1E126', '1E+126'],
    ['-1E126', '1E+126'],
    ['1E-131', 'closer to zero'],
    ['1e99999999999999999999', '1E+126'],
    [`1${'0'.repeat(126)}`, '1E+126'],
  ])('refuses %s', (text, why) => {
    expect(checkNumber(text)).toEqual({ kind: 'refused', why: expect.stringContaining(why) });
  });

  test('gives equal numbers the same value, whatever their spelling', () => {
    for (const text of ['10', '10.0', '1e1', '+010', '0.1E+2']) {
      expect(checkNumber(text)).toEqual(checkNumber('10'));
    }
    expect(checkNumber('-10')).not.toEqual(checkNumber('10'));
    expect(checkNumber('-0.00')).toEqual(checkNumber('0'));
  });

  test('tells different integers apart', () => {
    const integer = fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n });
    fc.assert(
      fc.property(integer, integer, (a, b) => {
        const [left, right] = [checkNumber(String(a)), checkNumber(String(b))];
        expect(left.kind).toBe('number');
        if (a === b) expect(left).toEqual(right);
        else expect(left).not.toEqual(right);
      }),
    );
  });

  test('takes time in proportion to the text', () => {
    expect(checkNumber(`${'0'.repeat(1_000_000)}1`)).toEqual(checkNumber('1'));
    expect(checkNumber(`1.${'0'.repeat(1_000_000)}1`).kind).toBe('refused');
  });
});
