import {
  DeleteTableCommand,
  DescribeTableCommand,
  ListTagsOfResourceCommand,
  UpdateTableCommand,
} from '@aws-sdk/client-dynamodb';
import {
  DeleteBucketCommand,
  DeleteBucketPolicyCommand,
  DeleteObjectsCommand,
  GetBucketTaggingCommand,
  paginateListObjectsV2,
  type S3Client,
} from '@aws-sdk/client-s3';
import { DeleteQueueCommand, GetQueueUrlCommand, ListQueueTagsCommand, SQSClient } from '@aws-sdk/client-sqs';
import { eventually } from './eventually.ts';
import type { Group } from './group.ts';
import { assertOwn } from './real/real-plan.ts';

const GONE = new Set(['ResourceNotFoundException', 'NoSuchBucket', 'QueueDoesNotExist']);

const EMPTY_MS = 60_000;

/** Deletes what `cdk destroy` leaves: the replicas, the logs, the control tables, the failure queues. */
export async function deleteRetained(
  group: Group,
  regions = [...group.regions, ...group.removed],
): Promise<void> {
  for (const region of regions) {
    for (const table of [group.table, group.logTable, group.controlTable]) {
      await unlessGone(() => deleteTable(group, region, table));
    }
    await unlessGone(() => deleteBucket(group, region));
    for (const queue of ['failures', 'drill-failures']) {
      await unlessGone(() => deleteQueue(group, region, queue));
    }
  }
}

async function unlessGone(remove: () => Promise<void>): Promise<void> {
  try {
    await remove();
  } catch (error) {
    if (!GONE.has((error as Error).name)) throw error;
  }
}

async function deleteTable(group: Group, region: string, TableName: string): Promise<void> {
  const dynamodb = group.dynamodb(region);
  const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName }));
  const { Tags = [] } = await dynamodb.send(new ListTagsOfResourceCommand({ ResourceArn: Table!.TableArn! }));
  assertDeletable(group, TableName, tagsOf(Tags));
  await dynamodb.send(new UpdateTableCommand({ TableName, DeletionProtectionEnabled: false }));
  await dynamodb.send(new DeleteTableCommand({ TableName }));
}

async function deleteQueue(group: Group, region: string, queue: string): Promise<void> {
  const sqs = new SQSClient({ region });
  try {
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: group.nameOf(queue) }));
    const { Tags = {} } = await sqs.send(new ListQueueTagsCommand({ QueueUrl }));
    assertDeletable(group, QueueUrl!, Tags);
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  } finally {
    sqs.destroy();
  }
}

async function deleteBucket(group: Group, region: string): Promise<void> {
  const s3 = group.s3(region);
  const Bucket = group.bucketOf(region);
  assertDeletable(group, Bucket, await tagsOfBucket(s3, Bucket));
  // It lets nobody delete a segment.
  await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
  // While the group lives on, another Region may send one more segment before it finds that the log is gone.
  await eventually(`${Bucket} is empty`, EMPTY_MS, async () => {
    for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, { Bucket })) {
      const Objects = Contents.map(({ Key }) => ({ Key: Key! }));
      if (Objects.length > 0) await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
    }
    return s3.send(new DeleteBucketCommand({ Bucket }));
  });
}

async function tagsOfBucket(s3: S3Client, Bucket: string): Promise<Record<string, string>> {
  try {
    const { TagSet = [] } = await s3.send(new GetBucketTaggingCommand({ Bucket }));
    return tagsOf(TagSet);
  } catch (error) {
    if ((error as Error).name === 'NoSuchTagSet') return {};
    throw error;
  }
}

/** Some emulators lose tags; in one, a name that nobody else has is proof enough. */
function assertDeletable(group: Group, name: string, tags: Readonly<Record<string, string>>): void {
  if (group.target.foreign !== undefined && name.includes(group.id)) return;
  assertOwn(group.id, name, tags);
}

function tagsOf(
  tags: readonly { Key?: string | undefined; Value?: string | undefined }[],
): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key = '', Value = '' }) => [Key, Value]));
}
