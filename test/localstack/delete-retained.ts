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
} from '@aws-sdk/client-s3';
import { DeleteQueueCommand, GetQueueUrlCommand, ListQueueTagsCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Group } from './group.ts';
import { assertOwn } from './real/real-plan.ts';

/** Deletes what `cdk destroy` leaves: the replicas, the logs, the control tables, the failure queues. */
export async function deleteRetained(group: Group): Promise<void> {
  for (const region of [...group.regions, ...group.removed]) {
    const dynamodb = group.dynamodb(region);
    for (const TableName of [group.table, group.logTable, group.controlTable]) {
      const { Table } = await dynamodb.send(new DescribeTableCommand({ TableName }));
      const { Tags = [] } = await dynamodb.send(
        new ListTagsOfResourceCommand({ ResourceArn: Table!.TableArn! }),
      );
      assertOwn(group.id, TableName, tagsOf(Tags));
      await dynamodb.send(new UpdateTableCommand({ TableName, DeletionProtectionEnabled: false }));
      await dynamodb.send(new DeleteTableCommand({ TableName }));
    }
    await deleteBucket(group, region);
    const sqs = new SQSClient({ region });
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: group.nameOf('failures') }));
    const { Tags = {} } = await sqs.send(new ListQueueTagsCommand({ QueueUrl }));
    assertOwn(group.id, QueueUrl!, Tags);
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
    sqs.destroy();
  }
}

async function deleteBucket(group: Group, region: string): Promise<void> {
  const s3 = group.s3(region);
  const Bucket = group.bucketOf(region);
  const { TagSet = [] } = await s3.send(new GetBucketTaggingCommand({ Bucket }));
  assertOwn(group.id, Bucket, tagsOf(TagSet));
  // It lets nobody delete a segment.
  await s3.send(new DeleteBucketPolicyCommand({ Bucket }));
  for await (const { Contents = [] } of paginateListObjectsV2({ client: s3 }, { Bucket })) {
    const Objects = Contents.map(({ Key }) => ({ Key: Key! }));
    if (Objects.length > 0) await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  }
  await s3.send(new DeleteBucketCommand({ Bucket }));
}

function tagsOf(
  tags: readonly { Key?: string | undefined; Value?: string | undefined }[],
): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key = '', Value = '' }) => [Key, Value]));
}
