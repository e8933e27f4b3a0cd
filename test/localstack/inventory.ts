import { paginateDescribeAlarms } from '@aws-sdk/client-cloudwatch';
import { CloudWatchLogsClient, paginateDescribeLogGroups } from '@aws-sdk/client-cloudwatch-logs';
import { paginateListTables } from '@aws-sdk/client-dynamodb';
import { IAMClient, paginateListRoles } from '@aws-sdk/client-iam';
import { paginateListFunctions } from '@aws-sdk/client-lambda';
import { ListBucketsCommand } from '@aws-sdk/client-s3';
import { paginateListStateMachines } from '@aws-sdk/client-sfn';
import { paginateListQueues, SQSClient } from '@aws-sdk/client-sqs';
import type { Group } from './group.ts';

/** What there is in the account that bears the group's name, as `Region kind name`, sorted. */
export async function inventoryOf(group: Group): Promise<readonly string[]> {
  const found: string[] = [];
  for (const region of [...group.regions, ...group.removed]) {
    const note = (kind: string, names: readonly (string | undefined)[]) =>
      found.push(
        ...names.filter((name) => name?.includes(group.id)).map((name) => `${region} ${kind} ${name}`),
      );
    await everyPage(paginateListTables({ client: group.dynamodb(region) }, {}), ({ TableNames = [] }) =>
      note('table', TableNames),
    );
    await everyPage(paginateListFunctions({ client: group.lambda(region) }, {}), ({ Functions = [] }) =>
      note(
        'function',
        Functions.map(({ FunctionName }) => FunctionName),
      ),
    );
    await everyPage(paginateListStateMachines({ client: group.sfn(region) }, {}), ({ stateMachines = [] }) =>
      note(
        'state machine',
        stateMachines.map(({ name }) => name),
      ),
    );
    await everyPage(
      paginateDescribeAlarms(
        { client: group.cloudwatch(region) },
        { AlarmTypes: ['MetricAlarm', 'CompositeAlarm'] },
      ),
      ({ MetricAlarms = [], CompositeAlarms = [] }) =>
        note(
          'alarm',
          [...MetricAlarms, ...CompositeAlarms].map(({ AlarmName }) => AlarmName),
        ),
    );
    const logs = new CloudWatchLogsClient({ region });
    await everyPage(paginateDescribeLogGroups({ client: logs }, {}), ({ logGroups = [] }) =>
      note(
        'log group',
        logGroups.map(({ logGroupName }) => logGroupName),
      ),
    );
    logs.destroy();
    const sqs = new SQSClient({ region });
    await everyPage(paginateListQueues({ client: sqs }, {}), ({ QueueUrls = [] }) =>
      note(
        'queue',
        QueueUrls.map((url) => url.split('/').at(-1)),
      ),
    );
    sqs.destroy();
    const { Buckets = [] } = await group.s3(region).send(new ListBucketsCommand({}));
    note(
      'bucket',
      Buckets.map(({ Name }) => Name).filter((name) => name?.endsWith(region)),
    );
  }
  const iam = new IAMClient({ region: 'us-east-1' });
  await everyPage(paginateListRoles({ client: iam }, {}), ({ Roles = [] }) => {
    const names = Roles.map(({ RoleName }) => RoleName).filter((name) => name?.includes(group.id));
    found.push(...names.map((name) => `global role ${name}`));
  });
  iam.destroy();
  return found.toSorted();
}

async function everyPage<P>(pages: AsyncIterable<P>, take: (page: P) => unknown): Promise<void> {
  for await (const page of pages) take(page);
}
