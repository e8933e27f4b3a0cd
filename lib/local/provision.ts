import {
  type AttributeDefinition,
  CreateTableCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  type KeySchemaElement,
  ResourceInUseException,
  type StreamViewType,
} from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, type S3Client } from '@aws-sdk/client-s3';
import { CreateQueueCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { tableNames } from '#lib/constructs/names.ts';
import type { RegisterConfig } from '#lib/domain/control/register-config.ts';
import type { GroupConfig, KeySchema } from '#lib/domain/topology.ts';

/** What a Region of the embedded cloud holds for a group. */
export type RegionNames = {
  readonly logTable: string;
  readonly controlTable: string;
  readonly bucket: string;
  readonly queue: string;
};

export function namesOf(group: GroupConfig, region: string): RegionNames {
  const { log, control } = tableNames(group.group);
  return {
    logTable: log,
    controlTable: control,
    bucket: `understudy-${group.group}-${region}`,
    queue: `understudy-${group.group}-failures`,
  };
}

/**
 * Makes what Understudy has of a group in a Region: tables, bucket and queue; what is there already is left alone.
 * Returns the queue's URL.
 */
export async function provisionRegion(
  clients: { readonly dynamodb: DynamoDBClient; readonly s3: S3Client; readonly sqs: SQSClient },
  names: RegionNames,
): Promise<string> {
  const logKey: KeySchema = [
    { name: 'lane', type: 'S' },
    { name: 'at', type: 'S' },
  ];
  await createTable(clients.dynamodb, names.logTable, logKey, 'KEYS_ONLY');
  await createTable(clients.dynamodb, names.controlTable, [{ name: 'id', type: 'S' }]);
  await createBucket(clients.s3, names.bucket);
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: names.queue }));
  return QueueUrl!;
}

/** Makes what a witness holds: the control table. */
export async function provisionWitness(
  dynamodb: DynamoDBClient,
  { controlTable }: RegionNames,
): Promise<void> {
  await createTable(dynamodb, controlTable, [{ name: 'id', type: 'S' }]);
}

/** Makes the one table that is the register, in a DynamoDB that all Regions reach. */
export async function provisionRegister(dynamodb: DynamoDBClient, { table }: RegisterConfig): Promise<void> {
  await createTable(dynamodb, table, [{ name: 'id', type: 'S' }]);
}

/** ARN of a table's stream. */
export async function streamArnOf(dynamodb: DynamoDBClient, table: string): Promise<string> {
  const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName: table }));
  return Table!.LatestStreamArn!;
}

/** Makes a table, with the stream of `view` if one is asked for; one that is there already is left alone. */
export async function createTable(
  dynamodb: DynamoDBClient,
  name: string,
  key: KeySchema,
  view?: StreamViewType,
): Promise<void> {
  const schema: KeySchemaElement[] = key.map(({ name: AttributeName }, index) => ({
    AttributeName,
    KeyType: index === 0 ? 'HASH' : 'RANGE',
  }));
  const attributes: AttributeDefinition[] = key.map(({ name: AttributeName, type: AttributeType }) => ({
    AttributeName,
    AttributeType,
  }));
  try {
    await dynamodb.send(
      new CreateTableCommand({
        TableName: name,
        KeySchema: schema,
        AttributeDefinitions: attributes,
        BillingMode: 'PAY_PER_REQUEST',
        ...(view && { StreamSpecification: { StreamEnabled: true, StreamViewType: view } }),
      }),
    );
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  }
}

async function createBucket(s3: S3Client, bucket: string): Promise<void> {
  try {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  } catch (error) {
    const name = error instanceof Error ? error.name : '';
    if (name !== 'BucketAlreadyOwnedByYou' && name !== 'BucketAlreadyExists') throw error;
  }
}
