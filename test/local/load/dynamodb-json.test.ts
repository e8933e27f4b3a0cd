import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { itemSize, MAX_ITEM_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { STAMP_COST } from '#lib/engines/dynamodb/stamp.ts';
import { decodeItem } from '#lib/local/load/decode-item.ts';
import { items, loadFolder, problems, readAll } from './load-folder.ts';

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/load/${name}`, import.meta.url));
const decode = (json: string) => decodeItem(json, 'line 1').item;
/** The value of attribute v, by its DynamoDB JSON. */
const value = (json: string) => decode(`{"Item":{"v":${json}}}`).v;
const folder = loadFolder();

describe('a table export', () => {
  test('is read with the types of DynamoDB', async () => {
    const lines = await readAll(fixture('products.jsonl'), ['Id']);
    expect(lines.map(({ kind, line }) => [kind, line])).toEqual([
      ['item', 1],
      ['item', 2],
    ]);
    expect(items(lines)[0]).toEqual({
      Authors: { SS: ['Author1', 'Author2'] },
      Dimensions: { S: '8.5 x 11.0 x 1.5' },
      ISBN: { S: '333-3333333333' },
      Id: { N: '103' },
      InPublication: { BOOL: false },
      Cover: { B: Buffer.from('deadbeef', 'hex') },
      Price: { N: '2000' },
      Title: { S: 'Book 103 Title' },
    });
    expect(items(lines)[1]).toMatchObject({
      Ratings: { L: [{ N: '4.5' }, { NULL: true }, { M: { by: { S: 'me' } } }] },
      Title: { S: 'Zwölf Bücher ✓' },
      Pages: { BS: [Buffer.of(0), Buffer.of(1)] },
    });
  });

  test('that is incremental is refused: its deletes cannot be loaded', async () => {
    await expect(readAll(fixture('incremental.jsonl'), ['pk'])).rejects.toMatchObject({
      code: 'LOAD_FILE_UNREADABLE',
      next: expect.stringContaining('FULL_EXPORT'),
    });
  });

  test('of a replicated table loses the reserved attribute and the heartbeat', async () => {
    const path = await folder.file(
      [
        '{"Item":{"pk":{"S":"_understudy.heartbeat"},"_understudyHeartbeatMs":{"N":"1"}}}',
        '{"Item":{"pk":{"S":"a"},"_understudy":{"B":"AAAAAQAAAAAAAAABAAAAAAA="}}}',
      ].join('\n'),
    );
    expect(items(await readAll(path, ['pk']))).toEqual([{ pk: { S: 'a' } }]);
  });
});

describe('a value of DynamoDB JSON', () => {
  test.each([
    ['{"S":1}', 'string'],
    ['{"S":"\\ud800"}', 'surrogate'],
    ['{"N":1}', 'is a string'],
    ['{"N":"abc"}', 'not a number'],
    ['{"N":"123456789012345678901234567890123456789"}', '39 significant digits'],
    ['{"B":"a"}', 'base64'],
    ['{"B":"AA"}', 'base64'],
    ['{"B":"A-_="}', 'base64'],
    ['{"B":5}', 'base64'],
    ['{"BOOL":"true"}', 'BOOL'],
    ['{"NULL":false}', 'NULL'],
    ['{"SS":[]}', 'at least one'],
    ['{"SS":["a","a"]}', 'twice'],
    ['{"SS":"a"}', 'at least one'],
    ['{"SS":["a",1]}', 'v[1]: a string'],
    ['{"NS":["1","1.0"]}', 'twice'],
    ['{"BS":["AA==","AA=="]}', 'twice'],
    ['{"L":{}}', 'array'],
    ['{"M":[]}', 'object'],
    ['{"M":5}', 'object'],
    ['{"M":{"a":{"L":[{"X":1}]}}}', 'v.a[0]: "X" is not a DynamoDB type'],
    ['{"S":"a","N":"1"}', 'one type'],
    ['{}', 'one type'],
    ['"a"', 'one type'],
    ['5', 'one type'],
    ['null', 'one type'],
    ['{"__proto__":{"S":"x"}}', 'not a DynamoDB type'],
    ['{"toString":"x"}', 'not a DynamoDB type'],
  ])('%s is refused', (json, why) => {
    expect(() => value(json)).toThrow(
      expect.objectContaining({ code: 'LOAD_LINE_MALFORMED', message: expect.stringContaining(why) }),
    );
  });

  test('may be an empty string, binary, list or map, but no empty set', () => {
    expect(value('{"L":[{"S":""},{"B":""},{"L":[]},{"M":{}},{"SS":[""]}]}')).toEqual({
      L: [{ S: '' }, { B: Buffer.alloc(0) }, { L: [] }, { M: {} }, { SS: [''] }],
    });
  });

  test('nests 32 levels and no more', () => {
    const nested = (levels: number) => `${'{"L":['.repeat(levels - 1)}{"S":"x"}${']}'.repeat(levels - 1)}`;
    expect(() => value(nested(32))).not.toThrow();
    expect(() => value(nested(33))).toThrow('32 levels');
    expect(() => value(nested(100_000))).toThrow('32 levels');
  });
});

describe('an item', () => {
  test('keeps names that JavaScript gives a meaning', () => {
    const item = decode('{"Item":{"__proto__":{"S":"a"},"constructor":{"M":{"__proto__":{"N":"1"}}}}}');
    expect(Object.keys(item)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(item)).toBe(Object.prototype);
    const inner = item.constructor as unknown as { M: Item };
    expect(Object.entries(inner.M)).toEqual([['__proto__', { N: '1' }]]);
  });

  test('fills 400 KB less the reserved attribute, to the byte', () => {
    const room = MAX_ITEM_BYTES - STAMP_COST - 'v'.length;
    expect(itemSize(decode(`{"Item":{"v":{"S":"${'x'.repeat(room)}"}}}`))).toBe(MAX_ITEM_BYTES - STAMP_COST);
    expect(() => decode(`{"Item":{"v":{"S":"${'x'.repeat(room + 1)}"}}}`)).toThrow(
      expect.objectContaining({ code: 'ITEM_TOO_LARGE' }),
    );
  });

  test('has attributes with names', () => {
    expect(() => decode('{"Item":{"":{"S":"a"}}}')).toThrow('empty name');
    expect(() => decode(`{"Item":{"${'n'.repeat(65_536)}":{"S":"a"}}}`)).toThrow('64 KB');
  });

  test('comes back from its export line as it was', async () => {
    const path = folder.path('round-trip');
    await fc.assert(
      fc.asyncProperty(fc.array(anItem, { minLength: 1, maxLength: 20 }), async (all) => {
        await folder.file(all.map(exportLine).join('\n'), 'round-trip');
        const lines = await readAll(path, ['pk']);
        expect(problems(lines)).toEqual([]);
        expect(items(lines)).toEqual(all);
        expect(items(lines).map(exportLine)).toEqual(all.map(exportLine));
      }),
      { numRuns: 50 },
    );
  });
});

const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const digits = fc.bigInt({ min: -(10n ** 38n) + 1n, max: 10n ** 38n - 1n });
const number = fc
  .tuple(digits, fc.integer({ min: -100, max: 80 }))
  .map(([significant, exponent]) => `${significant}E${exponent}`);
const bytes = fc.uint8Array({ maxLength: 40 }).map((each) => Buffer.from(each));
const names = fc.oneof(
  fc.constantFrom('__proto__', 'constructor', 'Item', 'S'),
  text.filter((name) => name !== ''),
);
const set = <T>(member: fc.Arbitrary<T>, selector: (each: T) => unknown) =>
  fc.uniqueArray(member, { minLength: 1, maxLength: 4, selector });

const { anyValue } = fc.letrec<{ anyValue: AttributeValue }>((tie) => ({
  anyValue: fc.oneof(
    { maxDepth: 5 },
    fc.record({ S: text }),
    fc.record({ N: number }),
    fc.record({ B: bytes }),
    fc.record({ BOOL: fc.boolean() }),
    fc.constant({ NULL: true } as const),
    fc.record({ SS: set(text, (each) => each) }),
    fc.record({ NS: set(digits.map(String), (each) => each) }),
    fc.record({ BS: set(bytes, (each) => each.toString('hex')) }),
    fc.record({ L: fc.array(tie('anyValue'), { maxLength: 4 }) }),
    fc.record({ M: fc.array(fc.tuple(names, tie('anyValue')), { maxLength: 4 }).map(Object.fromEntries) }),
  ),
}));
const anItem: fc.Arbitrary<Item> = fc
  .tuple(fc.uuid(), fc.array(fc.tuple(names, anyValue), { maxLength: 6 }))
  .map(([pk, attributes]) => Object.fromEntries([...attributes, ['pk', { S: pk }]]));

/** The line that a table export has for an item. */
function exportLine(item: Item): string {
  return JSON.stringify({ Item: item }, function (this: unknown, name, written) {
    const own = (this as { [name: string]: unknown })[name];
    return Buffer.isBuffer(own) ? own.toString('base64') : written;
  });
}
