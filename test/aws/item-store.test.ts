import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsItemStore } from '#lib/aws/aws-item-store.ts';
import type { SdkItem } from '#lib/aws/dynamo-failure.ts';
import type { Item } from '#lib/domain/attribute-value.ts';
import { LANE_0, parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { itemStoreContract } from '../contracts/item-store.contract.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';
import { keyBytes, n, PK, s } from '../support/stream-records.ts';

const EU = parseRegionId('eu-west-1');
let server: TestServer;
let controlTable: string;
let groups = 0;
beforeAll(async () => {
  server = await startTestServer();
  controlTable = await server.createTable(CONTROL_KEY);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

async function open(key: KeySchema) {
  const { dynamodb } = server;
  const group = parseGroupId(`group-${++groups}`);
  const control = new AwsControl({ dynamodb, region: EU, group, table: controlTable });
  const table = await server.createTable(key);
  const store = new AwsItemStore({ dynamodb, table, key, stampAttribute: STAMP_ATTRIBUTE, control });
  const put = async (item: Item, stamp?: Uint8Array) => {
    const stamped = { ...item, ...(stamp && { [STAMP_ATTRIBUTE]: { B: stamp } }) };
    await dynamodb.send(new PutItemCommand({ TableName: table, Item: stamped as SdkItem }));
  };
  return { store, control, table, put };
}

// The local server takes the new value of an update into account twice.
itemStoreContract('the DynamoDB table', { open, spareBytes: 32 });

describe('the DynamoDB table', () => {
  test.each([{ S: 'text' }, { N: '1' }, { L: [] }, { NULL: true }])(
    'takes a reserved attribute of another type (%j) for no stamp',
    async (value) => {
      const { store, control, table } = await open(PK);
      const { lease } = await control.takeLease(LANE_0);
      const item = { pk: s('a'), value: n(1) };
      const stamped = { ...item, [STAMP_ATTRIBUTE]: value } as SdkItem;
      const spoil = () => server.dynamodb.send(new PutItemCommand({ TableName: table, Item: stamped }));
      const write = { key: { pk: s('a') }, item, stamp: stamp(5) };
      const mark = stamp(6, true);
      await spoil();
      expect(await store.replace(write)).toBe('unstamped');
      expect(await store.markDeleted(write.key, mark)).toBe('unstamped');
      expect(await store.scan(undefined)).toEqual({ rows: [{ item, stamp: undefined }] });
      expect(await store.get(write.key)).toEqual(item);
      expect(await store.putLeased([write], lease)).toBe('done');
      expect(await store.scan(undefined)).toEqual({ rows: [{ item, stamp: write.stamp }] });
      await spoil();
      expect(await store.markDeletedLeased(write.key, mark, lease)).toBe('done');
      await store.removeMarked(write.key, mark);
      expect(await store.scan(undefined)).toEqual({ rows: [] });
    },
  );

  test('is written by an application without a stamp', async () => {
    const { store } = await open(PK);
    await store.put({ pk: s('a') });
    expect(await store.scan(undefined)).toEqual({ rows: [{ item: { pk: s('a') }, stamp: undefined }] });
  });

  test('says why it could not be a leader', async () => {
    const storeOf = async (view?: 'KEYS_ONLY' | 'NEW_AND_OLD_IMAGES', has: KeySchema = PK) => {
      const table = await server.createTable(has, view);
      const control = new AwsControl({
        dynamodb: server.dynamodb,
        region: EU,
        group: parseGroupId('orders'),
        table: controlTable,
      });
      return new AwsItemStore({
        dynamodb: server.dynamodb,
        table,
        key: PK,
        stampAttribute: STAMP_ATTRIBUTE,
        control,
      });
    };
    await expect((await storeOf()).checkFitness()).rejects.toMatchObject({ code: 'STREAM_MISSING' });
    await expect((await storeOf('KEYS_ONLY')).checkFitness()).rejects.toMatchObject({
      code: 'STREAM_VIEW_TYPE',
    });
    expect(await (await storeOf('NEW_AND_OLD_IMAGES')).checkFitness()).toMatch(/^arn:.*stream/);
    const keys: KeySchema[] = [
      [{ name: 'pk', type: 'N' }],
      [
        { name: 'pk', type: 'S' },
        { name: 'sk', type: 'S' },
      ],
      [{ name: 'id', type: 'S' }],
    ];
    for (const key of keys) {
      await expect((await storeOf('NEW_AND_OLD_IMAGES', key)).checkFitness()).rejects.toMatchObject({
        code: 'SCHEMA_DIFFERS',
        message: expect.stringContaining('not that of its group (pk S)'),
      });
    }
  });
});

function stamp(lsn: number, deleting = false): Uint8Array {
  return new Uint8Array(stampOf(parseEpoch(1), parseLsn(lsn), keyBytes(PK, { pk: s('a') }), deleting));
}
