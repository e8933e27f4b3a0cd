import fc from 'fast-check';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';

/** Decimal text as DynamoDB sends it: up to 38 digits, a sign, a point, an exponent. */
export const numberText = fc
  .tuple(
    fc.constantFrom('', '-'),
    fc.stringMatching(/^[1-9][0-9]{0,37}$/),
    fc.option(fc.stringMatching(/^[0-9]{1,12}$/), { nil: undefined }),
    fc.option(fc.integer({ min: -130, max: 125 }), { nil: undefined }),
  )
  .map(
    ([sign, whole, fraction, exponent]) =>
      `${sign}${whole}${fraction === undefined ? '' : `.${fraction}`}${exponent === undefined ? '' : `E${exponent}`}`,
  );

/** Well-formed text of any script, empty and longer than the encoder's short path too. */
export const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 4 }),
  fc.constantFrom(
    '',
    'é'.repeat(64),
    'x'.repeat(63),
    'x'.repeat(64),
    `${'x'.repeat(62)}é`,
    '\u{1f980}',
    '\0',
  ),
);

export const attributeName = fc.oneof(
  { weight: 4, arbitrary: fc.string({ minLength: 1, maxLength: 8 }) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      '__proto__',
      'constructor',
      'toString',
      'hasOwnProperty',
      'prototype',
      '0',
      'Ω',
      'S',
    ),
  },
);

const binary = fc.uint8Array({ maxLength: 80 });

export const attributeValue: fc.Arbitrary<AttributeValue> = fc.letrec<{ value: AttributeValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    text.map((S) => ({ S })),
    numberText.map((N) => ({ N })),
    binary.map((B) => ({ B })),
    fc.boolean().map((BOOL) => ({ BOOL })),
    fc.constant({ NULL: true } as const),
    fc.uniqueArray(text, { minLength: 1, maxLength: 4 }).map((SS) => ({ SS })),
    fc.uniqueArray(numberText, { minLength: 1, maxLength: 4 }).map((NS) => ({ NS })),
    fc.array(binary, { minLength: 1, maxLength: 4 }).map((BS) => ({ BS })),
    fc.array(tie('value'), { maxLength: 4 }).map((L) => ({ L })),
    fc
      .array(fc.tuple(attributeName, tie('value')), { maxLength: 4 })
      .map((M) => ({ M: Object.fromEntries(M) })),
  ),
})).value;

/** An item of any attributes but the reserved one. */
export const anyItem: fc.Arbitrary<Item> = fc
  .array(fc.tuple(attributeName, attributeValue), { maxLength: 6 })
  .map((attributes) => Object.fromEntries(attributes));

/** Two images of one item: some attributes alike, some changed, some come, some gone. */
export const twoImages: fc.Arbitrary<readonly [Item, Item]> = fc
  .tuple(
    anyItem,
    anyItem,
    fc
      .array(fc.tuple(attributeName, attributeValue), { maxLength: 4 })
      .map((same) => Object.fromEntries(same) as Item),
  )
  .map(([before, after, same]) => [merged(before, same), merged(after, same)] as const);

/** Spread that keeps an attribute of the name `__proto__`. */
function merged(item: Item, more: Item): Item {
  return Object.fromEntries([...Object.entries(item), ...Object.entries(more)]);
}

/** An item with its attributes as a list: equality of these sees an attribute of the name `__proto__` too. */
export function entriesOf(item: Item): readonly unknown[] {
  return Object.keys(item)
    .sort()
    .map((name) => [name, plain(item[name]!)]);
}

function plain(value: AttributeValue): unknown {
  if ('M' in value) return { M: entriesOf(value.M) };
  if ('L' in value) return { L: value.L.map(plain) };
  if ('B' in value) return { B: Buffer.from(bytesOf(value.B)).toString('hex') };
  if ('BS' in value) return { BS: value.BS.map((each) => Buffer.from(bytesOf(each)).toString('hex')) };
  return value;
}

function bytesOf(value: Uint8Array | string): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value, 'base64') : value;
}
