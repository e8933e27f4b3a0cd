import { describe, expect, test } from 'vitest';
import type { Item } from '#lib/domain/attribute-value.ts';
import { DynamoDigest } from '#lib/engines/dynamodb/dynamo-digest.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import type { DigestSource } from '#lib/ports/digest-source.ts';
import { verify } from '#lib/usecases/verify.ts';
import { n, PK, s } from '../support/stream-records.ts';

function storeOf(items: readonly Item[]): MemoryItemStore {
  const store = new MemoryItemStore({ keyNames: ['pk'], holds: () => true });
  for (const item of items) store.put(item);
  return store;
}
const rows = (count: number, from = 0) =>
  Array.from({ length: count }, (_, i): Item => ({ pk: s(`k${from + i}`), value: n(from + i) }));
const digestOf = (store: MemoryItemStore) => new DynamoDigest({ store, key: PK });
const keyText = (name: string) => JSON.stringify({ pk: { S: name } });
const once = { rechecks: 0, pause: async () => {} };

describe('verify', () => {
  test('finds two stores with the same items equal, in whatever order and under whatever stamps they were written', async () => {
    const ours = storeOf(rows(500));
    const theirs = storeOf([]);
    for (const item of rows(500).reverse()) theirs.put(item, new Uint8Array(17));
    ours.put(heartbeatItem(PK, 1));
    const verified = await verify(digestOf(ours), digestOf(theirs), once);
    expect(verified).toMatchObject({
      equal: true,
      rows: 500,
      buckets: 256,
      differingBuckets: 0,
      differing: 0,
      differences: [],
    });
    expect(verified.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(verified.digest).toBe((await verify(digestOf(theirs), digestOf(ours), once)).digest);
  });

  test('names what is missing, what is too much and what differs', async () => {
    const theirs = storeOf([...rows(98), { pk: s('k99'), value: n(0) }, { pk: s('extra'), value: n(1) }]);
    const verified = await verify(digestOf(storeOf(rows(100))), digestOf(theirs), once);
    expect(verified).toMatchObject({ equal: false, differing: 3 });
    expect(verified.differences.toSorted((a, b) => (a.key < b.key ? -1 : 1))).toEqual([
      { key: keyText('extra'), kind: 'extra' },
      { key: keyText('k98'), kind: 'missing' },
      { key: keyText('k99'), kind: 'differs' },
    ]);
  });

  test('counts all that differs and names the first few', async () => {
    const verified = await verify(digestOf(storeOf(rows(300))), digestOf(storeOf([])), once);
    expect(verified).toMatchObject({ equal: false, rows: 0, differing: 300 });
    expect(verified.differences).toHaveLength(20);
  });

  test('of two empty stores is equal', async () => {
    const verified = await verify(digestOf(storeOf([])), digestOf(storeOf([])), once);
    expect(verified).toMatchObject({ equal: true, rows: 0, digest: '0'.repeat(64) });
  });

  test('reads rows of the buckets that differ and of no others', async () => {
    const ours = digestOf(storeOf(rows(400)));
    const changed = digestOf(storeOf([...rows(399), { pk: s('k399'), value: n(0) }]));
    const asked: (readonly number[])[] = [];
    const theirs: DigestSource = {
      buckets: () => changed.buckets(),
      rows: (buckets) => {
        asked.push([...buckets]);
        return changed.rows(buckets);
      },
      recheck: (keys) => changed.recheck(keys),
    };
    const verified = await verify(ours, theirs, once);
    expect(verified).toMatchObject({ equal: false, differingBuckets: 1, differing: 1 });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toHaveLength(1);
  });

  test('reads no rows where all buckets are equal', async () => {
    const equal = digestOf(storeOf(rows(10)));
    const source: DigestSource = {
      buckets: () => equal.buckets(),
      rows: async () => expect.unreachable('rows were read'),
      recheck: async () => expect.unreachable('keys were read'),
    };
    expect((await verify(source, source, { rechecks: 3, pause: async () => {} })).equal).toBe(true);
  });

  test('does not count a key that a live follower catches up with while it is read again', async () => {
    const ours = storeOf(rows(50));
    const theirs = storeOf(rows(47));
    let pauses = 0;
    const verified = await verify(digestOf(ours), digestOf(theirs), {
      rechecks: 5,
      pause: async () => {
        pauses++;
        theirs.put({ pk: s(`k${46 + pauses}`), value: n(46 + pauses) });
        // Another key is in flux now; it was equal when it was compared.
        ours.put({ pk: s('k0'), value: n(1000 + pauses) });
      },
    });
    expect(verified).toMatchObject({ equal: true, differing: 0 });
    expect(pauses).toBe(3);
  });

  test('counts a key that still differs after the last time it was read', async () => {
    const ours = storeOf(rows(5));
    const theirs = storeOf(rows(4));
    let value = 0;
    const verified = await verify(digestOf(ours), digestOf(theirs), {
      rechecks: 3,
      pause: async () => ours.put({ pk: s('k4'), value: n(++value) }),
    });
    expect(value).toBe(3);
    expect(verified).toMatchObject({
      equal: false,
      differing: 1,
      differences: [{ key: keyText('k4'), kind: 'missing' }],
    });
  });

  test('sees a key change its kind of difference while it is read again', async () => {
    const ours = storeOf(rows(3));
    const theirs = storeOf(rows(2));
    const verified = await verify(digestOf(ours), digestOf(theirs), {
      rechecks: 1,
      pause: async () => {
        theirs.put({ pk: s('k2'), value: n(77) });
      },
    });
    expect(verified.differences).toEqual([{ key: keyText('k2'), kind: 'differs' }]);
  });
});
