import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  CreateTableCommand,
  DeleteItemCommand,
  DynamoDBClient,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  type _Record,
  DynamoDBStreamsClient,
  ExpiredIteratorException,
  TrimmedDataAccessException,
} from '@aws-sdk/client-dynamodb-streams';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import { EventSourceMapping } from '#lib/local/event-source/event-source-mapping.ts';
import { FileCheckpointStore } from '#lib/local/event-source/file-checkpoint-store.ts';
import { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';
import { type DataLoss, TRIM_HORIZON } from '#lib/local/event-source/stream-reader.ts';
import { type StreamRecord, toStreamRecord } from '#lib/local/event-source/stream-record.ts';
import { systemTimer } from '#lib/local/event-source/timer.ts';
import type { Server } from '#lib/local/supervised.ts';
import { until } from './until.ts';

const ARN = 'arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000';

describe('record', () => {
  test('binary becomes base64 at any depth, time becomes epoch seconds', () => {
    const bytes = new Uint8Array([0, 1, 254, 255]);
    const record: _Record = {
      eventID: 'e1',
      eventName: 'REMOVE',
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: 'elsewhere',
      dynamodb: {
        ApproximateCreationDateTime: new Date(1_700_000_000_000),
        Keys: { pk: { B: bytes } },
        OldImage: {
          pk: { B: bytes.subarray(1, 3) },
          set: { BS: [bytes, new Uint8Array()] },
          list: {
            L: [{ N: '12345678901234567890123456789012345678' }, { M: { deep: { L: [{ B: bytes }] } } }],
          },
          ['__proto__']: { B: bytes },
        },
        SequenceNumber: '111',
        SizeBytes: 59,
        StreamViewType: 'NEW_AND_OLD_IMAGES',
      },
      userIdentity: { PrincipalId: 'dynamodb.amazonaws.com', Type: 'Service' },
    };
    const converted = toStreamRecord(record, ARN, 'eu-west-1');
    expect(JSON.parse(JSON.stringify(converted))).toEqual({
      eventID: 'e1',
      eventName: 'REMOVE',
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: 'eu-west-1',
      dynamodb: {
        ApproximateCreationDateTime: 1_700_000_000,
        Keys: { pk: { B: 'AAH+/w==' } },
        OldImage: JSON.parse(`{
          "pk": { "B": "Af4=" },
          "set": { "BS": ["AAH+/w==", ""] },
          "list": {
            "L": [
              { "N": "12345678901234567890123456789012345678" },
              { "M": { "deep": { "L": [{ "B": "AAH+/w==" }] } } }
            ]
          },
          "__proto__": { "B": "AAH+/w==" }
        }`),
        SequenceNumber: '111',
        SizeBytes: 59,
        StreamViewType: 'NEW_AND_OLD_IMAGES',
      },
      userIdentity: { type: 'Service', principalId: 'dynamodb.amazonaws.com' },
      eventSourceARN: ARN,
    });
  });

  test('an image without binary values is passed on without a copy', () => {
    const image = { pk: { S: 'a' }, m: { M: { l: { L: [{ NULL: true as const }, { SS: ['x'] }] } } } };
    const { dynamodb } = toStreamRecord({ dynamodb: { Keys: image, NewImage: image } }, ARN, 'eu-west-1');
    expect(dynamodb.NewImage).toBe(image);
  });
});

/** A client that answers from a script, one entry a call, and keeps what it was asked. */
function scripted(...answers: (object | Error)[]) {
  const asked: string[] = [];
  const client = {
    send: async (command: { constructor: { name: string }; input: object }) => {
      asked.push(`${command.constructor.name} ${JSON.stringify(Object.values(command.input))}`);
      const answer = answers.shift();
      if (answer === undefined || answer instanceof Error) throw answer ?? new Error('The script is over');
      return answer;
    },
  };
  const losses: DataLoss[] = [];
  const reader = new DynamoDBStreamReader({
    client: client as unknown as DynamoDBStreamsClient,
    streamArn: ARN,
    onDataLoss: (loss) => losses.push(loss),
  });
  return { reader, asked, losses };
}
const records = (...sequences: string[]) =>
  sequences.map((SequenceNumber) => ({ dynamodb: { SequenceNumber, Keys: {} } }));
const iterator = (ShardIterator: string) => ({ ShardIterator });
const expired = new ExpiredIteratorException({ message: 'expired', $metadata: {} });
const trimmed = new TrimmedDataAccessException({ message: 'trimmed', $metadata: {} });

describe('reader', () => {
  test('reads that follow each other ask for no new iterator', async () => {
    const { reader, asked } = scripted(
      iterator('i1'),
      { Records: records('5'), NextShardIterator: 'i2' },
      { Records: [], NextShardIterator: 'i3' },
      { Records: records('9') },
    );
    expect((await reader.read('s', TRIM_HORIZON, 5000)).records[0]?.dynamodb.SequenceNumber).toBe('5');
    expect(await reader.read('s', '5', 10)).toEqual({ records: [], closed: false });
    expect((await reader.read('s', '5', 10)).closed).toBe(true);
    expect(asked).toEqual([
      `GetShardIteratorCommand ["${ARN}","s","TRIM_HORIZON"]`,
      'GetRecordsCommand ["i1",1000]',
      'GetRecordsCommand ["i2",10]',
      'GetRecordsCommand ["i3",10]',
    ]);
  });

  test('an expired iterator is replaced by one at the same position', async () => {
    const { reader, asked, losses } = scripted(
      iterator('i1'),
      { Records: records('5'), NextShardIterator: 'i2' },
      expired,
      iterator('i3'),
      { Records: records('6'), NextShardIterator: 'i4' },
    );
    await reader.read('s', '4', 10);
    expect((await reader.read('s', '5', 10)).records).toHaveLength(1);
    expect(asked[3]).toBe(`GetShardIteratorCommand ["${ARN}","s","AFTER_SEQUENCE_NUMBER","5"]`);
    expect(losses).toEqual([]);
  });

  test('trimmed records are reported before reading goes on after the gap, once', async () => {
    const { reader, losses } = scripted(
      trimmed,
      iterator('i1'),
      { Records: [], NextShardIterator: 'i2' },
      { Records: records('90'), NextShardIterator: 'i3' },
    );
    expect((await reader.read('s', '5', 10)).records).toEqual([]);
    expect((await reader.read('s', '5', 10)).records).toHaveLength(1);
    expect(losses).toEqual([{ kind: 'trimmed', streamArn: ARN, shardId: 's', after: '5' }]);
  });

  test('another failure is thrown, and the next read starts from a fresh iterator', async () => {
    const { reader, asked } = scripted(
      iterator('i1'),
      { Records: [], NextShardIterator: 'i2' },
      new Error('throttled'),
      iterator('i3'),
      { Records: [], NextShardIterator: 'i4' },
    );
    await reader.read('s', '5', 10);
    await expect(reader.read('s', '5', 10)).rejects.toThrow('throttled');
    await reader.read('s', '5', 10);
    expect(asked.at(-1)).toBe('GetRecordsCommand ["i3",10]');
  });

  test('shards are listed to the last page', async () => {
    const page = (ShardId: string, more: object, next?: string) => ({
      StreamDescription: { Shards: [{ ShardId, ...more }], LastEvaluatedShardId: next },
    });
    const { reader } = scripted(
      page('a', { SequenceNumberRange: { StartingSequenceNumber: '1', EndingSequenceNumber: '5' } }, 'a'),
      page('b', { ParentShardId: 'a', SequenceNumberRange: { StartingSequenceNumber: '6' } }),
    );
    expect(await reader.listShards()).toEqual([
      { id: 'a', closed: true },
      { id: 'b', closed: false, parentId: 'a' },
    ]);
  });
});

describe('with a real server', () => {
  let server: Server;
  let folder: string;
  let client: DynamoDBClient;
  let streams: DynamoDBStreamsClient;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'understudy-event-source-'));
    server = await startDynamoServer({ file: join(folder, 'tables.sqlite') });
    const settings = {
      endpoint: server.endpoint,
      region: 'eu-west-1',
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    };
    client = new DynamoDBClient(settings);
    streams = new DynamoDBStreamsClient(settings);
  });
  afterAll(async () => {
    client.destroy();
    streams.destroy();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  test('changes arrive in order, in Lambda form, and a new process goes on where the last one stopped', async () => {
    const table = await client.send(
      new CreateTableCommand({
        TableName: 'orders',
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
        AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
        StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
      }),
    );
    const streamArn = table.TableDescription?.LatestStreamArn ?? '';
    const put = (pk: string) =>
      client.send(
        new PutItemCommand({
          TableName: 'orders',
          Item: { pk: { S: pk }, b: { B: new Uint8Array([1, 2]) } },
        }),
      );
    const seen: StreamRecord[] = [];
    const boot = () => {
      const onDataLoss = () => expect.fail('nothing was lost');
      const mapping = new EventSourceMapping({
        name: 'capture',
        streamArn,
        reader: new DynamoDBStreamReader({ client: streams, streamArn, awsRegion: 'eu-west-1', onDataLoss }),
        checkpoints: new FileCheckpointStore(folder),
        timer: systemTimer,
        random: Math.random,
        onDataLoss,
        batchSize: 7,
        invoker: new FunctionInvoker<StreamEvent>({
          functionName: 'capture',
          functionArn: 'arn:capture',
          timeoutMs: 5000,
          timer: systemTimer,
          handler: async ({ Records }) => void seen.push(...Records),
        }),
      });
      mapping.start();
      return mapping;
    };

    const first = boot();
    for (let at = 0; at < 20; at += 1) await put(`k${at}`);
    await until('20 records seen', () => seen.length === 20);
    await first.stop();
    await client.send(new DeleteItemCommand({ TableName: 'orders', Key: { pk: { S: 'k0' } } }));
    await put('k20');
    const second = boot();
    await until('22 records seen', () => seen.length >= 22);
    await second.stop();

    const expected = Array.from({ length: 20 }, (_, at) => `k${at}`);
    expect(seen.map(({ dynamodb }) => dynamodb.Keys.pk?.S)).toEqual([...expected, 'k0', 'k20']);
    expect(seen[20]).toMatchObject({
      eventName: 'REMOVE',
      eventSource: 'aws:dynamodb',
      awsRegion: 'eu-west-1',
      eventSourceARN: streamArn,
      dynamodb: {
        ApproximateCreationDateTime: expect.any(Number),
        OldImage: { pk: { S: 'k0' }, b: { B: 'AQI=' } },
        StreamViewType: 'NEW_AND_OLD_IMAGES',
      },
    });
    expect(JSON.parse(JSON.stringify(seen))).toEqual(seen);
  });
});
