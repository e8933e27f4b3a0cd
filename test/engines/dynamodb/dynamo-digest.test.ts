import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { DynamoDigest, digestOf } from '#lib/engines/dynamodb/dynamo-digest.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import { anyItem, attributeName, attributeValue, entriesOf } from '../../support/arbitrary-items.ts';
import { keyBytes, n, PK, s } from '../../support/stream-records.ts';

const KEY: KeySchema = [
  { name: 'pk', type: 'S' },
  { name: 'sk', type: 'B' },
];

type Row = { readonly item: Item; readonly stamp?: Uint8Array };

function digestOver(
  rows: readonly Row[],
  options: { key?: KeySchema; pageSize?: number } = {},
): DynamoDigest {
  const { key = PK, pageSize = 3 } = options;
  const store = new MemoryItemStore({ keyNames: key.map(({ name }) => name), holds: () => true, pageSize });
  for (const { item, stamp } of rows) store.put(item, stamp);
  return new DynamoDigest({ store, key });
}

const rows = fc.uniqueArray(
  fc.tuple(fc.string(), anyItem).map(([pk, item]): Item => ({ ...item, pk: s(pk) })),
  { selector: ({ pk }) => JSON.stringify(pk), maxLength: 12 },
);

/** The same value in another order of names and sets, and with binary as text. */
function turned(value: AttributeValue): AttributeValue {
  if ('M' in value) return { M: turnedItem(value.M) };
  if ('L' in value) return { L: value.L.map(turned) };
  if ('SS' in value) return { SS: value.SS.toReversed() };
  if ('NS' in value) return { NS: value.NS.toReversed() };
  if ('BS' in value) return { BS: value.BS.map(base64).toReversed() };
  if ('B' in value) return { B: base64(value.B) };
  return value;
}

function turnedItem(item: Item): Item {
  return Object.fromEntries(
    Object.entries(item)
      .map(([name, value]) => [name, turned(value)] as const)
      .reverse(),
  );
}

function base64(value: Uint8Array | string): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('base64');
}

describe('the digest of an item', () => {
  test('is the same in whatever order names and sets come', () => {
    fc.assert(
      fc.property(anyItem, (item) => {
        expect(digestOf(turnedItem(item))).toEqual(digestOf(item));
      }),
      { numRuns: 200 },
    );
  });

  test('differs when an attribute is added, dropped or changed', () => {
    fc.assert(
      fc.property(anyItem, attributeName, attributeValue, (item, name, value) => {
        const changed = Object.fromEntries([...Object.entries(item), [name, value]]);
        const same = JSON.stringify(entriesOf(sorted(changed))) === JSON.stringify(entriesOf(sorted(item)));
        expect(digestOf(changed).equals(digestOf(item))).toBe(same);
      }),
      { numRuns: 300 },
    );
  });

  test.each<readonly [string, AttributeValue, AttributeValue]>([
    ['a number and its text', { N: '1' }, { S: '1' }],
    ['binary and its text', { B: new Uint8Array([1]) }, { S: 'AQ==' }],
    ['true and false', { BOOL: true }, { BOOL: false }],
    ['a set and a list', { SS: ['a'] }, { L: [{ S: 'a' }] }],
    ['lists in another order', { L: [{ S: 'a' }, { S: 'b' }] }, { L: [{ S: 'b' }, { S: 'a' }] }],
    ['an empty map and an empty list', { M: {} }, { L: [] }],
    ['a map and a list of pairs', { M: { a: { S: 'b' } } }, { L: [{ L: [{ S: 'a' }, { S: 'b' }] }] }],
    ['numbers that differ in the 38th digit', { N: `1${'0'.repeat(36)}1` }, { N: `1${'0'.repeat(36)}2` }],
    ['text that differs in form', { S: 'é' }, { S: 'e\u0301' }],
    ['a value one level further down', { M: { a: { M: {} } } }, { M: { a: { M: { b: { NULL: true } } } } }],
  ])('tells %s apart', (_, a, b) => {
    expect(digestOf({ value: a }).equals(digestOf({ value: b }))).toBe(false);
  });
});

describe('the digest of a table', () => {
  test('is the same for the same rows, however they are stamped and paged', async () => {
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.boolean()),
        async (items, pageSize, stamped) => {
          const a = digestOver(items.map((item) => ({ item })));
          const b = digestOver(
            items.toReversed().map((item, index) => ({
              item: turnedItem(item),
              ...(stamped[index] && { stamp: stampOf(parseEpoch(1), parseLsn(index), keyBytes(PK, item)) }),
            })),
            { pageSize },
          );
          expect(await b.buckets()).toEqual(await a.buckets());
          const all = new Set(Array.from({ length: 256 }, (_, bucket) => bucket));
          expect(await b.rows(all)).toEqual(await a.rows(all));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('differs in one bucket, and names the row, for any row that is changed, added or gone', async () => {
    await fc.assert(
      fc.asyncProperty(
        rows,
        fc.nat(),
        fc.constantFrom('changed', 'added', 'gone'),
        async (items, at, change) => {
          const victim = items[at % Math.max(1, items.length)] ?? { pk: s('new') };
          const changed = { ...victim, 'a new attribute': n(1) };
          const others = items.filter((item) => item !== victim);
          const ours = change === 'added' ? others : [...others, victim];
          const theirs = change === 'gone' ? others : [...others, change === 'added' ? victim : changed];
          const a = digestOver(ours.map((item) => ({ item })));
          const b = digestOver(theirs.map((item) => ({ item })));
          const [left, right] = [await a.buckets(), await b.buckets()];
          const differing = left.flatMap((bucket, index) => (same(bucket, right[index]) ? [] : [index]));
          expect(differing).toHaveLength(1);
          const [mine, other] = [await a.rows(new Set(differing)), await b.rows(new Set(differing))];
          const names = [...new Set([...mine.keys(), ...other.keys()])].filter(
            (key) => mine.get(key) !== other.get(key),
          );
          expect(names).toEqual([JSON.stringify({ pk: victim.pk })]);
          expect(await b.recheck(names)).toEqual(new Map(names.map((name) => [name, other.get(name)])));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('leaves the heartbeat out', async () => {
    const item = { pk: s('a') };
    const beat = (atMs: number) => digestOver([{ item }, { item: heartbeatItem(PK, atMs) }]).buckets();
    expect(await beat(1)).toEqual(await beat(2));
    expect(await beat(1)).toEqual(await digestOver([{ item }]).buckets());
    const further = digestOver([{ item }, { item: heartbeatItem(PK, 1, 17) }]);
    expect(await further.buckets()).toEqual(await beat(1));
  });

  test('finds rows again by the text of a key with binary', async () => {
    const item = { pk: s('a"\\'), sk: { B: new Uint8Array([0, 255]) }, value: n(1) };
    const digest = digestOver([{ item }], { key: KEY });
    const all = await digest.rows(new Set(Array.from({ length: 256 }, (_, bucket) => bucket)));
    expect([...all.keys()]).toEqual(['{"pk":{"S":"a\\"\\\\"},"sk":{"B":"AP8="}}']);
    const gone = '{"pk":{"S":"b"},"sk":{"B":"AP8="}}';
    expect(await digest.recheck([...all.keys(), gone])).toEqual(new Map([...all, [gone, undefined]]));
  });
});

function same(a: { rows: number; digest: string }, b: { rows: number; digest: string } | undefined): boolean {
  return b !== undefined && a.rows === b.rows && a.digest === b.digest;
}

/** An item with its sets in order, however deep. */
function sorted(item: Item): Item {
  return Object.fromEntries(Object.entries(item).map(([name, value]) => [name, sortedValue(value)]));
}

function sortedValue(value: AttributeValue): AttributeValue {
  if ('M' in value) return { M: sorted(value.M) };
  if ('L' in value) return { L: value.L.map(sortedValue) };
  if ('SS' in value) return { SS: value.SS.toSorted() };
  if ('NS' in value) return { NS: value.NS.toSorted() };
  if ('BS' in value) return { BS: value.BS.map(base64).toSorted() };
  return value;
}
