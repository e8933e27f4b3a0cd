import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { LANE_0, parseLaneId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { itemSize, MAX_ITEM_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { STAMP_ATTRIBUTE, STAMP_COST, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import type { Control } from '#lib/ports/control.ts';
import { type ItemStore, MAX_LEASED, type StampedItem } from '#lib/ports/item-store.ts';
import { keyBytes, n, s } from '../support/stream-records.ts';

/** A table, reached through the port, and in the way that applications and the table's own scans do. */
export type OpenStore = {
  readonly store: ItemStore;
  readonly control: Control;
  /** Writes an item as an application does, with whatever it puts into the reserved attribute. */
  put(item: Item, stamp?: Uint8Array): Promise<void>;
};

export type ItemStoreSubject = {
  /** Gives an empty table of that key, a page of which holds at most three items of 300 KB. */
  readonly open: (key: KeySchema) => Promise<OpenStore>;
  /** Bytes by which the largest item stays below DynamoDB's limit. */
  readonly spareBytes?: number;
};

const SIMPLE: KeySchema = [{ name: 'pk', type: 'S' }];
const COMPOSITE: KeySchema = [
  { name: 'pk', type: 'B' },
  { name: 'sk', type: 'N' },
];

const at = (lsn: number, item: Item, options: { epoch?: number; deleting?: boolean; key?: KeySchema } = {}) =>
  new Uint8Array(
    stampOf(
      parseEpoch(options.epoch ?? 1),
      parseLsn(lsn),
      keyBytes(options.key ?? SIMPLE, item),
      options.deleting,
    ),
  );

const A = { pk: s('a') };
const V1 = { ...A, value: n(1) };
const V2 = { ...A, value: n(2), more: { M: { nested: { L: [{ NULL: true as const }] } } } };

function write(item: Item, lsn: number, options: { epoch?: number; key?: KeySchema } = {}): StampedItem {
  return { item, stamp: at(lsn, item, options) };
}

/** Stamps of all sorts that a stored item may bear, and whether a write of LSN 5 may follow each. */
const BORNE: readonly (readonly [string, Uint8Array | undefined, 'earlier' | 'later' | 'none'])[] = [
  ['no stamp', undefined, 'none'],
  ['an earlier stamp', at(4, A), 'earlier'],
  ['an earlier mark', at(4, A, { deleting: true }), 'earlier'],
  ['the mark of the same LSN', at(5, A, { deleting: true }), 'earlier'],
  ['the same stamp', at(5, A), 'later'],
  ['a later stamp', at(6, A), 'later'],
  ['a later mark', at(6, A, { deleting: true }), 'later'],
  ['a stamp of a later epoch', at(1, A, { epoch: 2 }), 'later'],
  ["another key's earlier stamp", at(4, { pk: s('b') }), 'none'],
  ["another key's later stamp", at(6, { pk: s('b') }), 'none'],
  ["another key's stamp that is greater in all bytes", new Uint8Array(17).fill(255), 'none'],
  ["another key's stamp that is less in all bytes", new Uint8Array(17), 'none'],
  ['one byte instead of a stamp', new Uint8Array([255]), 'none'],
  ['no bytes instead of a stamp', new Uint8Array(), 'none'],
];

/** What every store must do. */
export function itemStoreContract(name: string, { open, spareBytes = 0 }: ItemStoreSubject): void {
  async function opened(key: KeySchema = SIMPLE) {
    const subject = await open(key);
    const { lease } = await subject.control.takeLease(LANE_0);
    const rowOf = async (item: Item) => {
      const rows = await allRows(subject.store);
      return rows.find((row) => key.every(({ name }) => text(row.item[name]) === text(item[name])));
    };
    return { ...subject, lease, rowOf };
  }

  describe(`${name} as an item store`, () => {
    describe('over an item that bears', () => {
      test.each(BORNE)('%s', async (_, borne, standing) => {
        const { store, put, lease, rowOf } = await opened();
        const outcome =
          standing === 'earlier' ? 'written' : standing === 'later' ? 'superseded' : 'unstamped';
        const stamp = at(5, A);
        const mark = at(5, A, { deleting: true });
        const before = { item: V1, stamp: borne };
        const isEarlierThanMark = standing === 'earlier' && !(borne && Buffer.compare(borne, mark) === 0);

        await put(V1, borne);
        expect(await store.replace(write(V2, 5))).toBe(outcome);
        expect(await rowOf(A)).toEqual(standing === 'earlier' ? { item: V2, stamp } : before);

        await put(V1, borne);
        expect(await store.markDeleted(A, mark)).toBe(
          standing === 'earlier' && !isEarlierThanMark ? 'superseded' : outcome,
        );
        expect(await rowOf(A)).toEqual(isEarlierThanMark ? { item: V1, stamp: mark } : before);

        await put(V1, borne);
        expect(await store.putLeased([write(V2, 5)], lease)).toBe('done');
        expect(await rowOf(A)).toEqual(standing === 'later' ? before : { item: V2, stamp });

        await put(V1, borne);
        expect(await store.markDeletedLeased(A, mark, lease)).toBe('done');
        expect(await rowOf(A)).toEqual(standing === 'later' ? before : { item: V1, stamp: mark });

        await put(V1, borne);
        await store.removeMarked(A, mark);
        expect(await rowOf(A)).toEqual(borne && Buffer.compare(borne, mark) === 0 ? undefined : before);
      });
    });

    test('tells an absent item from one without a stamp, and writes neither', async () => {
      const { store, lease } = await opened();
      expect(await store.replace(write(V1, 5))).toBe('absent');
      expect(await store.markDeleted(A, at(5, A, { deleting: true }))).toBe('absent');
      expect(await store.markDeletedLeased(A, at(5, A, { deleting: true }), lease)).toBe('done');
      await store.removeMarked(A, at(5, A, { deleting: true }));
      expect(await allRows(store)).toEqual([]);
    });

    test('replaces the whole item, and keeps it whole when it marks it', async () => {
      const { store, put, rowOf } = await opened();
      await put(V2, at(1, A));
      const mark = at(2, A, { deleting: true });
      expect(await store.markDeleted(A, mark)).toBe('written');
      expect(await rowOf(A)).toEqual({ item: V2, stamp: mark });
      expect(await store.replace(write(V1, 3))).toBe('written');
      expect(await rowOf(A)).toEqual({ item: V1, stamp: at(3, A) });
    });

    test('removes an item by its exact mark alone', async () => {
      const { store, put, rowOf } = await opened();
      const mark = at(5, A, { deleting: true });
      for (const other of [
        at(5, A),
        at(6, A, { deleting: true }),
        at(5, { pk: s('b') }, { deleting: true }),
      ]) {
        await put(V1, mark);
        await store.removeMarked(A, other);
        expect(await rowOf(A)).toEqual({ item: V1, stamp: mark });
      }
      await store.removeMarked(A, mark);
      expect(await store.get(A)).toBeUndefined();
      await store.removeMarked(A, mark);
    });

    test('writes nothing under a lease that is lost, whatever the items bear', async () => {
      const { store, control, put, lease, rowOf } = await opened();
      await put(V1, at(1, A));
      await control.takeLease(LANE_0);
      const absent = { pk: s('absent'), value: n(1) };
      expect(await store.putLeased([write(absent, 5)], lease)).toBe('lost');
      expect(await store.putLeased([write(V2, 5)], lease)).toBe('lost');
      expect(await store.putLeased([write(V2, 5), write(absent, 6)], lease)).toBe('lost');
      expect(await store.markDeletedLeased(A, at(5, A, { deleting: true }), lease)).toBe('lost');
      expect(await allRows(store)).toEqual([{ item: V1, stamp: at(1, A) }]);
      const { lease: taken } = await control.takeLease(LANE_0);
      expect(await store.putLeased([write(V2, 5)], taken)).toBe('done');
      expect(await rowOf(A)).toEqual({ item: V2, stamp: at(5, A) });
    });

    test('refuses a lease that nobody holds, and one of another lane', async () => {
      const { store, control, lease } = await opened();
      expect(await store.putLeased([write(V1, 5)], { ...lease, token: lease.token + 1 })).toBe('lost');
      const lane = parseLaneId('1');
      expect(await store.putLeased([write(V1, 5)], { lane, token: lease.token })).toBe('lost');
      const other = await control.takeLease(lane);
      expect(await store.putLeased([write(V1, 5)], other.lease)).toBe('done');
    });

    test('writes those of many items that are not superseded, and leaves the others', async () => {
      const { store, put, lease, rowOf } = await opened();
      const items = Array.from({ length: MAX_LEASED }, (_, index) => ({
        pk: s(`k${index}`),
        value: n(index),
      }));
      const old = (item: Item) => ({ ...item, value: n(-1) });
      for (const [index, item] of items.entries()) {
        if (index % 3 === 1) await put(old(item), at(9, item));
        if (index % 3 === 2) await put(old(item), at(1, item));
      }
      expect(
        await store.putLeased(
          items.map((item) => write(item, 5)),
          lease,
        ),
      ).toBe('done');
      for (const [index, item] of [...items.entries()].slice(0, 9)) {
        const superseded = index % 3 === 1;
        expect(await rowOf(item)).toEqual(
          superseded ? { item: old(item), stamp: at(9, item) } : { item, stamp: at(5, item) },
        );
      }
      expect(await allRows(store)).toHaveLength(MAX_LEASED);
      // The same again, by a retry: nothing is left to write.
      const before = await allRows(store);
      expect(
        await store.putLeased(
          items.map((item) => write(item, 5)),
          lease,
        ),
      ).toBe('done');
      expect(await allRows(store)).toEqual(before);
    });

    test('writes nothing, and is done, for no items', async () => {
      const { store, lease } = await opened();
      expect(await store.putLeased([], lease)).toBe('done');
      expect(await allRows(store)).toEqual([]);
    });

    test.each<readonly [string, AttributeValue]>([
      ['text', s('x'.repeat(300_000))],
      // 100,000 characters, 300,000 bytes.
      ['wide text', s('漢'.repeat(100_000))],
      ['binary', { B: new Uint8Array(300_000).fill(7) }],
    ])('takes a leased write of more %s than a transaction holds', async (_, blob) => {
      const { store, lease } = await opened();
      const items = Array.from({ length: 15 }, (_, index) => ({ pk: s(`k${index}`), blob }));
      expect(
        await store.putLeased(
          items.map((item) => write(item, 5)),
          lease,
        ),
      ).toBe('done');
      expect(await allRows(store)).toHaveLength(15);
      expect(await store.get({ pk: s('k14') })).toEqual(items[14]);
    });

    test('takes the largest item that leaves room for its stamp, by every way of writing', async () => {
      const { store, put, lease, rowOf } = await opened();
      const room = MAX_ITEM_BYTES - STAMP_COST - spareBytes - itemSize({ ...A, blob: s('') });
      const largest = { ...A, blob: s('x'.repeat(room)) };
      await put(largest);
      const mark = at(1, A, { deleting: true });
      expect(await store.markDeletedLeased(A, mark, lease)).toBe('done');
      expect(await store.putLeased([write(largest, 2)], lease)).toBe('done');
      expect(await store.replace(write(largest, 3))).toBe('written');
      const next = at(4, A, { deleting: true });
      expect(await store.markDeleted(A, next)).toBe('written');
      expect(await rowOf(A)).toEqual({ item: largest, stamp: next });
    });

    test('keeps the reserved attribute out of what it gives', async () => {
      const { store, put } = await opened();
      await put(V1, at(5, A));
      expect(await store.get(A)).toEqual(V1);
      const [row] = await allRows(store);
      expect(row!.item).toEqual(V1);
      expect(Object.keys(row!.item)).not.toContain(STAMP_ATTRIBUTE);
    });

    test('gives an item of every type back as it was', async () => {
      const { store, lease } = await opened();
      const item: Item = {
        ...A,
        text: s('ü\u{1f980}\0'),
        empty: s(''),
        number: { N: '-1234567890123456789012345678901234567.8' },
        binary: { B: new Uint8Array([0, 255, 128]) },
        nothing: { B: new Uint8Array() },
        yes: { BOOL: true },
        no: { BOOL: false },
        null: { NULL: true },
        strings: { SS: ['a', 'b'] },
        numbers: { NS: ['1', '2.5'] },
        binaries: { BS: [new Uint8Array([1]), new Uint8Array([2])] },
        list: { L: [s('a'), { L: [] }, { M: {} }] },
        constructor: s('a name like another'),
        map: { M: { 'a.b[0]': n(1), '#stamp': s(':stamp') } },
      };
      await store.putLeased([write(item, 5)], lease);
      expect(sortedSets(await store.get(A))).toEqual(item);
      const [row] = await allRows(store);
      expect(sortedSets(row!.item)).toEqual(item);
    });

    test('scans every row once, page by page, and a page from the same cursor again', async () => {
      const { store, put } = await opened(COMPOSITE);
      const keys = [
        [0, 255, 10],
        [255, 254],
        [92, 34, 123],
      ].flatMap((bytes) =>
        [-5, 0, 12].map((number) => ({ pk: { B: Uint8Array.from(bytes) }, sk: n(number) })),
      );
      const items = keys.map((key) => ({ ...key, blob: s('x'.repeat(300_000)) }));
      for (const item of items) await put(item, at(5, item, { key: COMPOSITE }));
      const pages = await allPages(store);
      expect(pages.length).toBeGreaterThan(2);
      const rows = pages.flatMap((page) => page.rows);
      expect(rows.map(({ item }) => text(item)).sort()).toEqual(items.map(text).sort());
      expect(rows.every(({ item, stamp }) => text(stamp) === text(at(5, item, { key: COMPOSITE })))).toBe(
        true,
      );
      expect((await store.scan(pages[0]!.cursor)).rows).toEqual(pages[1]!.rows);
      // A cursor holds when the row that it names is gone, and when rows come before and after it.
      const last = pages[0]!.rows.at(-1)!.item;
      await put({ ...last, blob: s('') }, at(5, last, { key: COMPOSITE, deleting: true }));
      await store.removeMarked(
        { pk: last.pk!, sk: last.sk! },
        at(5, last, { key: COMPOSITE, deleting: true }),
      );
      expect((await store.scan(pages[0]!.cursor)).rows).toEqual(pages[1]!.rows);
    });

    test('scans a table in parts that hold every row once', async () => {
      const { store, put } = await opened();
      for (let index = 0; index < 40; index++) await put({ pk: s(`k${index}`) });
      const parts = await Promise.all([0, 1, 2].map((segment) => allRows(store, { segment, segments: 3 })));
      expect(
        parts
          .flat()
          .map(({ item }) => text(item.pk))
          .sort(),
      ).toEqual((await allRows(store)).map(({ item }) => text(item.pk)).sort());
    });

    test('scans an empty table in one page', async () => {
      const { store } = await opened();
      expect(await store.scan(undefined)).toEqual({ rows: [] });
    });

    test('keeps items of one partition apart by their sort key', async () => {
      const { store, lease, rowOf } = await opened(COMPOSITE);
      const pk = { B: new Uint8Array([7]) };
      const items = [1, 2, 10].map((number) => ({ pk, sk: n(number), value: n(number) }));
      await store.putLeased(
        items.map((item) => write(item, 5, { key: COMPOSITE })),
        lease,
      );
      const [first, second, third] = [items[0]!, items[1]!, items[2]!];
      const mark = at(6, first, { key: COMPOSITE, deleting: true });
      expect(await store.markDeleted({ pk, sk: n(1) }, mark)).toBe('written');
      await store.removeMarked({ pk, sk: n(1) }, mark);
      expect(await store.get({ pk, sk: n(1) })).toBeUndefined();
      expect(await store.get({ pk, sk: n(2) })).toEqual(second);
      expect((await rowOf(third))?.item).toEqual(third);
      const moved = write({ ...second, value: n(9) }, 6, { key: COMPOSITE });
      expect(await store.replace(moved)).toBe('written');
      expect(await store.get({ pk, sk: n(2) })).toEqual(moved.item);
    });

    test('lets one of many writers of an item win, the one with the latest stamp', async () => {
      const { store, put, rowOf } = await opened();
      await put(V1, at(0, A));
      const writes = Array.from({ length: 12 }, (_, index) =>
        write({ ...A, value: n(index + 1) }, index + 1),
      );
      await Promise.all(
        writes.toSorted((a, b) => (a.stamp[15]! % 5) - (b.stamp[15]! % 5)).map((each) => store.replace(each)),
      );
      expect(await rowOf(A)).toEqual({ item: { ...A, value: n(12) }, stamp: at(12, A) });
    });

    test('estimates its rows', async () => {
      const { store } = await opened();
      expect(await store.estimateRows()).toBeGreaterThanOrEqual(0);
    });
  });
}

type Part = { readonly segment: number; readonly segments: number };

async function allPages(store: ItemStore, part?: Part) {
  const pages = [];
  let cursor: string | undefined;
  do {
    const page = await store.scan(cursor, part);
    pages.push(page);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return pages;
}

async function allRows(store: ItemStore, part?: Part) {
  return (await allPages(store, part)).flatMap(({ rows }) => rows);
}

/** A value as text that does not depend on the order of attributes. */
function text(value: unknown): string {
  return inspect(value, { depth: null, sorted: true, maxArrayLength: null, maxStringLength: 100 });
}

/** A store may give the members of a set in any order. */
function sortedSets(item: Item | undefined): unknown {
  return Object.fromEntries(
    Object.entries(item ?? {}).map(([name, value]) => {
      if ('SS' in value) return [name, { SS: value.SS.toSorted() }];
      if ('NS' in value) return [name, { NS: value.NS.toSorted() }];
      if ('BS' in value)
        return [name, { BS: value.BS.toSorted((a, b) => Buffer.compare(a as Uint8Array, b as Uint8Array)) }];
      return [name, value];
    }),
  );
}
