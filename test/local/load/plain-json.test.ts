import { describe, expect, test } from 'vitest';
import type { Item } from '#lib/domain/attribute-value.ts';
import { decodeItem } from '#lib/local/load/decode-item.ts';

const decode = (json: string): Item => decodeItem(json, 'line 1').item;

describe('a line of plain JSON', () => {
  test('turns into the types of DynamoDB', () => {
    expect(
      decode('{"s":"é","t":true,"f":false,"z":null,"n":1,"l":[1,"a",[]],"m":{"a":{"b":-2}},"e":""}'),
    ).toEqual({
      s: { S: 'é' },
      t: { BOOL: true },
      f: { BOOL: false },
      z: { NULL: true },
      n: { N: '1' },
      l: { L: [{ N: '1' }, { S: 'a' }, { L: [] }] },
      m: { M: { a: { M: { b: { N: '-2' } } } } },
      e: { S: '' },
    });
  });

  test.each([
    '12345678901234567890123456789012345678',
    '0.10',
    '-9.9999999999999999999999999999999999999E+125',
    '1E-130',
    '9007199254740993',
    '-0',
  ])('keeps every digit of %s', (digits) => {
    expect(decode(`{"a":${digits},"l":[${digits}]}`)).toEqual({
      a: { N: digits },
      l: { L: [{ N: digits }] },
    });
  });

  test.each([
    ['123456789012345678901234567890123456789', '39 significant digits'],
    ['1e126', 'beyond the range'],
    ['1e-131', 'closer to zero'],
    ['1e400', 'beyond the range'],
  ])('refuses the number %s', (digits, why) => {
    expect(() => decode(`{"a":{"b":[${digits}]}}`)).toThrow(
      expect.objectContaining({
        code: 'LOAD_LINE_MALFORMED',
        message: expect.stringMatching(new RegExp(`line 1, attribute a\\.b\\[0\\]: "${digits}" .*${why}`)),
      }),
    );
  });

  test('keeps names that JavaScript gives a meaning, and empty ones below the top', () => {
    const item = decode('{"__proto__":{"__proto__":1,"":2}}');
    const [[name, value] = [], ...others] = Object.entries(item);
    expect([name, others]).toEqual(['__proto__', []]);
    expect(Object.entries((value as { M: Item }).M)).toEqual([
      ['__proto__', { N: '1' }],
      ['', { N: '2' }],
    ]);
  });

  test('may not use the reserved attribute', () => {
    expect(() => decode('{"pk":"a","_understudy":"x"}')).toThrow('_understudy is the reserved attribute');
  });

  test('nests 32 levels and no more', () => {
    const nested = (levels: number) => `{"v":${'['.repeat(levels - 1)}1${']'.repeat(levels - 1)}}`;
    expect(() => decode(nested(32))).not.toThrow();
    expect(() => decode(nested(33))).toThrow('32 levels');
    expect(() => decode(nested(50_000))).toThrow(expect.objectContaining({ code: 'LOAD_LINE_MALFORMED' }));
  });

  test.each([
    ['{"a":1,}', 'double-quoted property name (column 8)'],
    ['{"a":1', '(column 7)'],
    ['{"a":abc}', "Unexpected token 'a'"],
    ['', 'Unexpected end of JSON input'],
    ['[{"a":1}]', 'it is an array'],
    ['5', 'not an object'],
    ['"a"', 'not an object'],
    ['null', 'not an object'],
  ])('%s is refused', (json, why) => {
    expect(() => decode(json)).toThrow(
      expect.objectContaining({ code: 'LOAD_LINE_MALFORMED', message: expect.stringContaining(why) }),
    );
  });

  test('that is refused is not quoted in the message', () => {
    expect(() => decode('{"password": secret-of-somebody}')).toThrow(
      expect.objectContaining({ message: expect.not.stringContaining('secret') }),
    );
  });
});
