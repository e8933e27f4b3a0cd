import { join } from 'node:path';
import { CreateTableCommand, DynamoDBClient, type StreamViewType } from '@aws-sdk/client-dynamodb';
import type { KeySchema } from '#lib/domain/topology.ts';
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { temporaryDirectory } from '../local/until.ts';

/** A DynamoDB-compatible server on a folder that goes with it. */
export type TestServer = AsyncDisposable & {
  readonly dynamodb: DynamoDBClient;
  /** Makes a table of a name of its own, with the key and stream that a Region's tables have. */
  createTable(key: KeySchema, view?: StreamViewType): Promise<string>;
};

/** Key of a control table. */
export const CONTROL_KEY: KeySchema = [{ name: 'id', type: 'S' }];

export async function startTestServer(): Promise<TestServer> {
  const directory = await temporaryDirectory();
  const server = await startDynamoServer({ file: join(directory.path, 'dynamo.sqlite') });
  const dynamodb = new DynamoDBClient({
    endpoint: server.endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
  });
  let tables = 0;
  return {
    dynamodb,
    async createTable(key, view) {
      const name = `table-${++tables}`;
      await dynamodb.send(
        new CreateTableCommand({
          TableName: name,
          KeySchema: key.map(({ name: AttributeName }, index) => ({
            AttributeName,
            KeyType: index === 0 ? 'HASH' : 'RANGE',
          })),
          AttributeDefinitions: key.map(({ name: AttributeName, type: AttributeType }) => ({
            AttributeName,
            AttributeType,
          })),
          BillingMode: 'PAY_PER_REQUEST',
          ...(view && { StreamSpecification: { StreamEnabled: true, StreamViewType: view } }),
        }),
      );
      return name;
    },
    async [Symbol.asyncDispose]() {
      dynamodb.destroy();
      await server.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}
