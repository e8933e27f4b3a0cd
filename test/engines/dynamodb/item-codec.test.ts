import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { isFailure } from '#lib/domain/errors.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';
import { STAMP_ATTRIBUTE, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import {
  anyItem,
  attributeName,
  attributeValue,
  entriesOf,
  numberText,
  text,
  twoImages,
} from '../../support/arbitrary-items.ts';
import { differenceBytes, itemBytes } from '../../support/encoded.ts';

const KEY: KeySchema = [
  { name: 'pk', type: 'S' },
  { name: 'sk', type: 'N' },
];
const STAMP: AttributeValue = { B: stampOf(parseEpoch(1), parseLsn(7), Buffer.from('k')) };

/** One encoder for a whole file: its buffer and dictionary see many records, as in a batch. */
const shared = new ItemEncoder();

function roundTrip(item: Item, encoder = shared): Item {
  encoder.rewind();
  const bytes = itemBytes(encoder, item);
  return new ItemDecoder(encoder.schema()).item(bytes);
}

/** What a decoder of any bytes may do: return, or refuse them by name. Returns the refusal. */
function refusal(decode: () => unknown): unknown {
  try {
    decode();
    return undefined;
  } catch (error) {
    if (!isFailure(error, 'SEGMENT_CORRUPT')) throw error;
    return error;
  }
}

describe('the item codec', () => {
  test('brings back any item as it was', () => {
    fc.assert(
      fc.property(anyItem, (item) => {
        expect(entriesOf(roundTrip(item, new ItemEncoder()))).toEqual(entriesOf(item));
      }),
      { numRuns: 120 },
    );
  });

  test('brings back items of one batch, whatever the items before them were', () => {
    const encoder = new ItemEncoder();
    fc.assert(
      fc.property(fc.array(anyItem, { maxLength: 4 }), (items) => {
        encoder.rewind();
        const encoded = items.map((item) => itemBytes(encoder, item));
        const decoder = new ItemDecoder(encoder.schema());
        expect(encoded.map((bytes) => entriesOf(decoder.item(bytes)))).toEqual(items.map(entriesOf));
      }),
      { numRuns: 120 },
    );
  });

  test('keeps numbers as the decimal text that they are', () => {
    fc.assert(
      fc.property(numberText, (N) => {
        expect(roundTrip({ n: { N }, set: { NS: [N, '0'] } })).toEqual({ n: { N }, set: { NS: [N, '0'] } });
      }),
    );
  });

  test.each([
    ['38 digits and an exponent', { N: '-9.9999999999999999999999999999999999999E+125' }],
    ['an empty string', { S: '' }],
    ['empty binary', { B: new Uint8Array() }],
    ['an empty list', { L: [] }],
    ['an empty map', { M: {} }],
    ['text beyond the basic plane', { S: '\u{1f469}\u{200d}\u{1f680} \u{10ffff}' }],
    ['text as long as the short form takes', { S: 'x'.repeat(63) }],
    ['text one longer', { S: 'x'.repeat(64) }],
    ['text whose last character alone is not ASCII', { S: `${'x'.repeat(62)}é` }],
    ['400 KB of text', { S: 'é'.repeat(200_000) }],
    ['400 KB of binary', { B: new Uint8Array(400_000).fill(0xff) }],
    ['a set of binary', { BS: [new Uint8Array([0]), new Uint8Array()] }],
  ] as const)('brings back %s', (_, value) => {
    expect(roundTrip({ value })).toEqual({ value });
  });

  test('brings back 32 levels of nesting', () => {
    let value: AttributeValue = { S: 'bottom' };
    for (let depth = 0; depth < 32; depth++) value = depth % 2 ? { L: [value] } : { M: { a: value } };
    expect(roundTrip({ value })).toEqual({ value });
  });

  test('brings back attributes named like parts of the language', () => {
    const item: Item = JSON.parse(
      '{"__proto__":{"S":"a"},"constructor":{"N":"1"},"m":{"M":{"__proto__":{"BOOL":true},"toString":{"NULL":true}}}}',
    );
    const back = roundTrip(item);
    expect(Object.keys(back)).toEqual(['__proto__', 'constructor', 'm']);
    expect(entriesOf(back)).toEqual(entriesOf(item));
    expect(Object.getPrototypeOf(back)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>).S).toBeUndefined();
  });

  test('brings back more different names than the dictionary holds', () => {
    const encoder = new ItemEncoder();
    const names = Array.from({ length: 5_000 }, (_, index) => `name-${index}-${index % 3 ? '' : 'ü'}`);
    const items = names.map((name, index) => ({ [name]: { N: `${index}` }, shared: { S: name } }));
    const encoded = items.map((item) => itemBytes(encoder, item));
    const decoder = new ItemDecoder(encoder.schema());
    expect(encoded.map((bytes) => decoder.item(bytes))).toEqual(items);
    const first = { 'name-0-ü': { S: 'gone' } };
    const last = { 'name-4999-': { S: 'come' } };
    expect(decoder.before(differenceBytes(encoder, first, last), last)).toEqual(first);
  });

  test('gives bytes for the base64 text of a Lambda event', () => {
    const bytes = new Uint8Array([0, 250, 251, 252]);
    const base64 = Buffer.from(bytes).toString('base64');
    expect(roundTrip({ b: { B: base64 }, set: { BS: [base64] }, in: { L: [{ B: base64 }] } })).toEqual({
      b: { B: bytes },
      set: { BS: [bytes] },
      in: { L: [{ B: bytes }] },
    });
  });

  test('gives binary that outlives the segment it came from', () => {
    const encoder = new ItemEncoder();
    const encoded = itemBytes(encoder, { b: { B: new Uint8Array([1, 2, 3]) } });
    const item = new ItemDecoder(encoder.schema()).item(encoded);
    encoded.fill(0);
    expect(item).toEqual({ b: { B: new Uint8Array([1, 2, 3]) } });
  });

  test('takes the difference of two images back', () => {
    fc.assert(
      fc.property(twoImages, ([before, after]) => {
        shared.rewind();
        const difference = differenceBytes(shared, before, after);
        const decoder = new ItemDecoder(shared.schema());
        expect(entriesOf(decoder.before(difference, after))).toEqual(entriesOf(before));
        expect(shared.difference(before, before)).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test('stores in a difference only what changed', () => {
    const large = { S: 'x'.repeat(10_000) };
    shared.rewind();
    expect(shared.difference({ large, n: { N: '1' } }, { large, n: { N: '2' } })).toBeLessThan(12);
  });

  test('never lets the reserved attribute out of an image or a difference', () => {
    fc.assert(
      fc.property(twoImages, fc.boolean(), fc.boolean(), ([before, after], old, now) => {
        const encoder = new ItemEncoder();
        const stampedBefore = old ? { [STAMP_ATTRIBUTE]: STAMP, ...before } : before;
        const stampedAfter = now ? { ...after, [STAMP_ATTRIBUTE]: { B: 'AAAA' } } : after;
        const image = itemBytes(encoder, stampedAfter);
        const difference = differenceBytes(encoder, stampedBefore, stampedAfter);
        const schema = encoder.schema();
        for (const bytes of [image, difference, Buffer.from(schema)])
          expect(bytes.includes(STAMP_ATTRIBUTE)).toBe(false);
        const decoder = new ItemDecoder(schema);
        expect(entriesOf(decoder.item(image))).toEqual(entriesOf(after));
        expect(entriesOf(decoder.before(difference, decoder.item(image)))).toEqual(entriesOf(before));
      }),
      { numRuns: 120 },
    );
  });

  test('gives equal keys equal bytes and different keys different ones', () => {
    const key = fc.tuple(text, numberText).map(([S, N]): Item => ({ pk: { S }, sk: { N } }));
    const bytesOf = (item: Item) => Buffer.from(new ItemEncoder().key(item, KEY)).toString('hex');
    fc.assert(
      fc.property(key, key, (a, b) => {
        const turned = Object.fromEntries(Object.entries(a).reverse());
        expect(bytesOf({ other: { S: 'x' }, ...turned })).toBe(bytesOf(a));
        expect(bytesOf(a) === bytesOf(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
        shared.rewind();
        const bytes = shared.key(a, KEY);
        expect(new ItemDecoder(shared.schema()).key(bytes, KEY)).toEqual(a);
      }),
      { numRuns: 60 },
    );
  });

  test('gives a binary key the same bytes from base64 text as from bytes', () => {
    const schema: KeySchema = [{ name: 'pk', type: 'B' }];
    const bytes = new Uint8Array([0, 255, 128]);
    const fromText = new ItemEncoder().key({ pk: { B: Buffer.from(bytes).toString('base64') } }, schema);
    expect(Buffer.from(fromText).equals(new ItemEncoder().key({ pk: { B: bytes } }, schema))).toBe(true);
  });

  test.each<readonly [string, unknown]>([
    ['an unknown type', { X: 'a' }],
    ['no type', {}],
    ['a string that is no text', { S: 5 }],
    ['a number that is no text', { N: 5 }],
    ['a number without digits', { N: '' }],
    ['a number with other characters', { N: '１' }],
    ['a lone surrogate', { S: '\ud800' }],
    ['a long lone surrogate', { S: `${'x'.repeat(100)}\udfff` }],
    ['more nesting than DynamoDB takes', nested(50)],
  ])('refuses %s with CAPTURE_RECORD_REJECTED, and goes on with the next item', (_, value) => {
    const encoder = new ItemEncoder();
    const good = { good: { S: 'x' } };
    expect(() => encoder.item({ bad: value as AttributeValue })).toThrow(
      expect.objectContaining({ code: 'CAPTURE_RECORD_REJECTED' }),
    );
    expect(roundTrip(good, encoder)).toEqual(good);
  });

  test.each([
    ['of another type', { pk: { N: '1' }, sk: { N: '1' } }],
    ['with a part missing', { pk: { S: 'a' } }],
  ])('refuses a key %s with CAPTURE_RECORD_REJECTED', (_, key) => {
    expect(() => new ItemEncoder().key(key, KEY)).toThrow(
      expect.objectContaining({ code: 'CAPTURE_RECORD_REJECTED' }),
    );
  });
});

describe('the item decoder', () => {
  test('takes a truncated image for corrupt, unless whole attributes alone are missing', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(attributeName, attributeValue), {
          selector: ([name]) => name,
          minLength: 1,
          maxLength: 4,
        }),
        (attributes) => {
          const encoder = new ItemEncoder();
          const ends = new Map<number, number>([[0, 0]]);
          const parts = attributes.map(([name, value], index) => {
            const bytes = itemBytes(encoder, Object.fromEntries([[name, value]]));
            ends.set([...ends.keys()].at(-1)! + bytes.length, index + 1);
            return bytes;
          });
          const whole = Buffer.concat(parts);
          const decoder = new ItemDecoder(encoder.schema());
          for (let length = 0; length < whole.length; length++) {
            const error = refusal(() => decoder.item(whole.subarray(0, length)));
            expect(error === undefined).toBe(ends.has(length));
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test('refuses a key and a dictionary that are truncated anywhere, and a key with bytes after it', () => {
    fc.assert(
      fc.property(fc.uniqueArray(text, { minLength: 1, maxLength: 5 }), numberText, (names, N) => {
        const encoder = new ItemEncoder();
        encoder.item(Object.fromEntries(names.map((name) => [name, { NULL: true as const }])));
        const key = Buffer.from(encoder.key({ pk: { S: names[0]! }, sk: { N } }, KEY));
        const schema = encoder.schema();
        const decoder = new ItemDecoder(schema);
        for (let length = 0; length < key.length; length++) {
          expect(refusal(() => decoder.key(key.subarray(0, length), KEY))).toBeDefined();
        }
        expect(refusal(() => decoder.key(Buffer.concat([key, Buffer.from([0])]), KEY))).toBeDefined();
        for (let length = 0; length < schema.length; length++) {
          expect(refusal(() => new ItemDecoder(schema.subarray(0, length)))).toBeDefined();
        }
      }),
      { numRuns: 60 },
    );
  });

  test('returns or refuses with SEGMENT_CORRUPT whatever the bytes', () => {
    const schema = (() => {
      const encoder = new ItemEncoder();
      encoder.item({ a: { NULL: true }, b: { NULL: true } });
      return encoder.schema();
    })();
    // Small numbers are tags, lengths and names: they lead the decoder deeper than even bytes do.
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.array(fc.nat(14), { maxLength: 300 }).map((list) => Uint8Array.from(list)),
    );
    fc.assert(
      fc.property(bytes, (hostile) => {
        const decoder = new ItemDecoder(schema);
        refusal(() => decoder.item(hostile));
        refusal(() => decoder.key(hostile, KEY));
        refusal(() => decoder.before(hostile, { a: { S: 'x' } }));
        refusal(() => new ItemDecoder(hostile));
      }),
      { numRuns: 1_000 },
    );
  });

  test.each([
    ['text', [1, 1]],
    ['text in UTF-8', [1, 2]],
    ['a number', [1, 3]],
    ['binary', [1, 4]],
    ['a set of strings', [1, 8]],
    ['a set of binary', [1, 10]],
    ['a list', [1, 11]],
    ['a map', [1, 12]],
    ['a name', [0, 1]],
  ])('refuses %s that claims 32 GiB, without making room for it', (_, start) => {
    const encoder = new ItemEncoder();
    encoder.item({ a: { NULL: true } });
    const decoder = new ItemDecoder(encoder.schema());
    for (const claim of [
      [255, 255, 255, 255, 127],
      [255, 255, 255, 255, 255, 255],
      [255, 255, 255, 255],
    ]) {
      // An over-long claim fails when the bytes end, not when the memory does.
      const before = process.memoryUsage().arrayBuffers;
      expect(refusal(() => decoder.item(Uint8Array.from([...start, ...claim])))).toBeDefined();
      expect(refusal(() => new ItemDecoder(Uint8Array.from(claim)))).toBeDefined();
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20);
    }
  });

  test('refuses nesting that would exhaust the stack', () => {
    const decoder = new ItemDecoder(Uint8Array.from([0]));
    const deep = Buffer.alloc(200_000);
    for (let at = 0; at + 1 < deep.length; at += 2) deep.set([11, 1], at);
    expect(refusal(() => decoder.item(Buffer.concat([Buffer.from([0, 1, 1, 97]), deep])))).toBeDefined();
  });

  test('refuses a name that is not in the dictionary, and a mark of absence in a whole image', () => {
    const decoder = new ItemDecoder(Uint8Array.from([1, 1, 1, 97]));
    expect(decoder.item(Uint8Array.from([1, 7]))).toEqual({ a: { NULL: true } });
    expect(refusal(() => decoder.item(Uint8Array.from([2, 7])))).toBeDefined();
    expect(refusal(() => decoder.item(Uint8Array.from([1, 13])))).toBeDefined();
    expect(decoder.before(Uint8Array.from([1, 13]), { a: { S: 'x' } })).toEqual({});
  });
});

function nested(depth: number): AttributeValue {
  let value: AttributeValue = { NULL: true };
  for (let level = 0; level < depth; level++) value = { L: [value] };
  return value;
}
