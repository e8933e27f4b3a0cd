import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsChangeStream } from '#lib/aws/aws-change-stream.ts';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { AwsItemStore } from '#lib/aws/aws-item-store.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { heartbeatItem, heartbeatKey, isHeartbeat, MAX_HEARTBEATS } from '#lib/engines/dynamodb/heartbeat.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { startTestServer, type TestServer } from '../support/dynamodb.ts';

const EU = parseRegionId('eu-west-1');

let server: TestServer;
let streams: DynamoDBStreamsClient;
beforeAll(async () => {
  server = await startTestServer();
  const { endpoint, region, credentials } = server.dynamodb.config;
  const { hostname, port } = await endpoint!();
  streams = new DynamoDBStreamsClient({ endpoint: `http://${hostname}:${port}`, region, credentials });
});
afterAll(async () => {
  streams?.destroy();
  await server?.[Symbol.asyncDispose]();
});

const base = { region: EU, maxBeats: MAX_HEARTBEATS };
const KEY = [{ name: 'pk', type: 'N' }] as const;

describe('the stream of a DynamoDB table', () => {
  test('names its shards as marks do, and puts heartbeats under keys of their own', async () => {
    const { dynamodb } = server;
    const table = await server.createTable(KEY, 'NEW_AND_OLD_IMAGES');
    const control = new AwsControl({ dynamodb, region: EU, group: parseGroupId('orders'), table: 'none' });
    const store = new AwsItemStore({ dynamodb, table, key: KEY, stampAttribute: STAMP_ATTRIBUTE, control });
    const stream = new AwsChangeStream({
      ...base,
      dynamodb,
      streams,
      table,
      streamArn: () => store.checkFitness(),
      heartbeat: (atMs, nth) => heartbeatItem(KEY, atMs, nth),
    });
    expect(await stream.newestShards()).toEqual([expect.stringMatching(/^eu-west-1\/shardId-/)]);
    await stream.beat(60, 5);
    await stream.beat(1, 7);
    const { rows } = await store.scan(undefined);
    expect(rows).toHaveLength(60);
    expect(rows.every(({ item }) => isHeartbeat(item, KEY))).toBe(true);
    expect(await store.get(heartbeatKey(KEY))).toEqual(heartbeatItem(KEY, 7));
    expect(await store.get(heartbeatKey(KEY, 59))).toEqual(heartbeatItem(KEY, 5, 59));
  });

  test('lists those that no other follows, over all pages', async () => {
    const pages = [
      [{ ShardId: '1' }, { ShardId: '2', ParentShardId: 'gone' }],
      [{ ShardId: '3', ParentShardId: '1' }, { ShardId: '4', ParentShardId: '1' }, { ShardId: '5' }],
    ];
    const asked: unknown[] = [];
    const paged = {
      send: async ({ input }: { readonly input: object }) => {
        asked.push(input);
        const Shards = pages[asked.length - 1];
        return { StreamDescription: { Shards, ...(asked.length === 1 && { LastEvaluatedShardId: '2' }) } };
      },
    };
    const stream = new AwsChangeStream({
      ...base,
      dynamodb: server.dynamodb,
      streams: paged as unknown as DynamoDBStreamsClient,
      table: 'none',
      streamArn: async () => 'arn',
      heartbeat: () => ({}),
    });
    expect(await stream.newestShards()).toEqual(['2', '3', '4', '5'].map((shard) => `${EU}/${shard}`));
    expect(asked).toEqual([
      { StreamArn: 'arn', ExclusiveStartShardId: undefined },
      { StreamArn: 'arn', ExclusiveStartShardId: '2' },
    ]);
  });

  test('sends again what a busy table has left over, and gives up in the end', async () => {
    const sent: number[] = [];
    const busy = (takes: number) => ({
      send: async ({ input }: { readonly input: { RequestItems: { orders: readonly object[] } } }) => {
        const { orders } = input.RequestItems;
        sent.push(orders.length);
        return { UnprocessedItems: orders.length > takes ? { orders: orders.slice(takes) } : {} };
      },
    });
    const streamOf = (dynamodb: object) =>
      new AwsChangeStream({
        ...base,
        dynamodb: dynamodb as DynamoDBClient,
        streams,
        table: 'orders',
        streamArn: async () => 'arn',
        heartbeat: (atMs, nth) => heartbeatItem(KEY, atMs, nth),
      });
    await streamOf(busy(2)).beat(5, 1);
    expect(sent).toEqual([5, 3, 1]);
    await streamOf(busy(0)).beat(1, 1);
    expect(sent).toHaveLength(3 + 6);
  });
});

test.each(['S', 'N', 'B'] as const)('a heartbeat with a key of type %s is told from all else', (type) => {
  const schema = [
    { name: 'pk', type },
    { name: 'sk', type: 'S' },
  ] as const;
  for (const nth of [0, 1, MAX_HEARTBEATS - 1])
    expect(isHeartbeat(heartbeatKey(schema, nth), schema)).toBe(true);
  const others = {
    S: ['_understudy.heartbeat.', '_understudy.heartbeat.0', '_understudy.heartbeats', 'a', ''],
    N: ['-99999999999999999999999999999999999', '99999999999999999999999999999999999999', '0', '-1.5'],
    B: ['_understudy.heartbea'],
  };
  for (const text of others[type]) {
    const value = type === 'B' ? { B: Buffer.from(text) } : { [type]: text };
    expect(isHeartbeat({ pk: value as never }, schema)).toBe(false);
  }
  const event = { pk: { B: Buffer.from('_understudy.heartbeat.3').toString('base64') } };
  expect(isHeartbeat(event, schema)).toBe(true);
});
