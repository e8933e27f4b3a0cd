import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import {
  CreateTableCommand,
  DescribeTableCommand,
  DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
} from '@aws-sdk/client-dynamodb';
import {
  DescribeStreamCommand,
  DynamoDBStreamsClient,
  GetRecordsCommand,
  GetShardIteratorCommand,
} from '@aws-sdk/client-dynamodb-streams';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { isFailure } from '#lib/domain/errors.ts';
import { dynamoBinary, startDynamoServer } from '#lib/local/dynamo-server.ts';
import { isListening, isRunning, temporaryDirectory } from './until.ts';

const client = (endpoint: string) => ({
  endpoint,
  region: 'eu-west-1',
  credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
});

async function createOrders(dynamo: DynamoDBClient): Promise<void> {
  await dynamo.send(
    new CreateTableCommand({
      TableName: 'orders',
      KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }],
      BillingMode: 'PAY_PER_REQUEST',
      StreamSpecification: { StreamEnabled: true, StreamViewType: 'NEW_AND_OLD_IMAGES' },
    }),
  );
}

async function streamedKeys(endpoint: string): Promise<string[]> {
  const dynamo = new DynamoDBClient(client(endpoint));
  const streams = new DynamoDBStreamsClient(client(endpoint));
  const StreamArn = (await dynamo.send(new DescribeTableCommand({ TableName: 'orders' }))).Table
    ?.LatestStreamArn;
  const { StreamDescription } = await streams.send(new DescribeStreamCommand({ StreamArn }));
  const keys: string[] = [];
  for (const { ShardId } of StreamDescription?.Shards ?? []) {
    const { ShardIterator } = await streams.send(
      new GetShardIteratorCommand({ StreamArn, ShardId, ShardIteratorType: 'TRIM_HORIZON' }),
    );
    const { Records = [] } = await streams.send(new GetRecordsCommand({ ShardIterator }));
    keys.push(...Records.map(({ dynamodb }) => dynamodb?.Keys?.pk?.S ?? ''));
  }
  return keys;
}

describe('the DynamoDB server', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test('keeps items and stream through SIGKILL and comes back on the same port', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'dynamo.sqlite');
    const first = await startDynamoServer({ file });
    const dynamo = new DynamoDBClient(client(first.endpoint));
    await createOrders(dynamo);
    const keys = Array.from({ length: 20 }, (_, index) => `order-${index}`);
    for (const pk of keys)
      await dynamo.send(new PutItemCommand({ TableName: 'orders', Item: { pk: { S: pk } } }));
    first.kill('SIGKILL');
    expect(await first.exited).toEqual({ code: null, signal: 'SIGKILL' });

    await using second = await startDynamoServer({ file, port: first.port });
    expect(second.endpoint).toBe(first.endpoint);
    const last = await dynamo.send(
      new GetItemCommand({ TableName: 'orders', Key: { pk: { S: 'order-19' } } }),
    );
    expect(last.Item).toEqual({ pk: { S: 'order-19' } });
    expect(await streamedKeys(second.endpoint)).toEqual(keys);
  });

  test('looks stream records up by index', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'region', 'dynamo.sqlite');
    const server = await startDynamoServer({ file });
    await createOrders(new DynamoDBClient(client(server.endpoint)));
    await server.stop();

    using database = new DatabaseSync(file);
    const plan = database
      .prepare(
        `EXPLAIN QUERY PLAN SELECT * FROM _stream_records
         WHERE table_name = 'orders' AND shard_id = 's' AND CAST(sequence_number AS INTEGER) > 7`,
      )
      .all();
    expect(JSON.stringify(plan)).toContain('us_3');
  });

  test('starts over from a preparation that was cut off', async () => {
    await using directory = await temporaryDirectory();
    const file = join(directory.path, 'dynamo.sqlite');
    await writeFile(`${file}.new`, 'half a file');
    await writeFile(`${file}.new-wal`, 'half a log');
    await using server = await startDynamoServer({ file });
    await createOrders(new DynamoDBClient(client(server.endpoint)));
  });

  test('listens on the loopback interface alone', async () => {
    await using directory = await temporaryDirectory();
    await using server = await startDynamoServer({ file: join(directory.path, 'dynamo.sqlite') });
    expect(await isListening(server.port)).toBe(true);
    // Another address of this machine, which a server on all interfaces would answer.
    expect(await isListening(server.port, '127.0.0.2')).toBe(false);
  });

  test('leaves no process when it is stopped, running or suspended', async () => {
    await using directory = await temporaryDirectory();
    const server = await startDynamoServer({ file: join(directory.path, 'dynamo.sqlite') });
    expect(isRunning(server.pid)).toBe(true);
    server.kill('SIGSTOP');
    await server.stop();
    expect(isRunning(server.pid)).toBe(false);
    await server.stop();
  });

  test('says why a server did not start', async () => {
    await using directory = await temporaryDirectory();
    const broken = join(directory.path, 'server');
    await writeFile(broken, '#!/bin/sh\necho "no room on the disk" >&2\nexit 3\n');
    await chmod(broken, 0o755);
    vi.stubEnv('UNDERSTUDY_DYNAMODB', broken);
    const error = await startDynamoServer({ file: join(directory.path, 'f') }).catch(
      (thrown: unknown) => thrown,
    );
    expect(isFailure(error, 'SERVER_NOT_STARTED')).toBe(true);
    expect(String(error)).toMatch(/exit status 3.*no room on the disk/);
  });

  test('names the platform where there is no bundled server, and what to do', () => {
    const missing = (): string => {
      throw new Error('Cannot find module');
    };
    expect(() => dynamoBinary({}, missing)).toThrow(/PLATFORM_UNSUPPORTED.*Linux x64.*UNDERSTUDY_DYNAMODB/);
    expect(dynamoBinary({ UNDERSTUDY_DYNAMODB: '/opt/server' }, missing)).toBe('/opt/server');
  });
});
