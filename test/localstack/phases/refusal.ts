import {
  CloudFormationClient,
  DescribeStacksCommand,
  paginateDescribeStackEvents,
} from '@aws-sdk/client-cloudformation';
import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import type { Group } from '../group.ts';
import { deployOnly } from './deploy.ts';

const STACK = 'AWS::CloudFormation::Stack';
const CHECK = 'Custom::UnderstudyDeployCheck';
/** Of the names of what the check itself is made of: it has to be up to date before it is asked. */
const OF_CHECK = /^DeployCheck/;

/** Makes the templates of the update that is to be refused: what has to be held meanwhile is held shorter. */
export async function prepareRefusal(group: Group): Promise<void> {
  await withChange(group, () => group.synthesize());
}

/** An update of a Region is refused by the deployment itself, for the reason that is expected, and rolled back whole. */
export async function refusal(group: Group, region: string, reason: RegExp): Promise<void> {
  const { report } = group;
  const before = await functionsOf(group, region);
  await report.check(`an update of ${region} is refused`, async () => {
    const deployed = await withChange(group, () => deployOnly(group, region)).then(
      () => true,
      () => false,
    );
    if (deployed) throw new Error('it was deployed');
  });
  const events = await eventsOfUpdate(group, region);
  await report.check("the stack's events have the reason", async () => {
    const failed = events.find((each) => each.type === CHECK && each.status === 'UPDATE_FAILED');
    const why = reason.exec(failed?.reason ?? '');
    if (why === null) throw new Error(JSON.stringify(failed ?? events));
    return why[0];
  });
  await report.check(
    'it is rolled back whole: nothing but the check was touched',
    async () => {
      const status = await statusOf(group, region);
      if (status !== 'UPDATE_ROLLBACK_COMPLETE') throw new Error(`the stack is ${status}`);
      const touched = events.filter(({ id, type }) => type !== STACK && !OF_CHECK.test(id));
      if (touched.length > 0) throw new Error(JSON.stringify(touched));
      const after = await functionsOf(group, region);
      if (after !== before) throw new Error(`the functions are ${after}, no longer ${before}`);
      return status;
    },
    (status) => `${status}, after ${events.length} events`,
  );
}

/** A setting that has another value for the time being. */
async function withChange<T>(group: Group, work: () => Promise<T>): Promise<T> {
  group.ttlSeconds += 1;
  try {
    return await work();
  } finally {
    group.ttlSeconds -= 1;
  }
}

type StackEvent = {
  readonly id: string;
  readonly type: string;
  readonly status: string;
  readonly reason: string;
};

/** What the last update of a Region's stack did, the newest first. */
async function eventsOfUpdate(group: Group, region: string): Promise<readonly StackEvent[]> {
  return withCloudFormation(region, async (client) => {
    const events: StackEvent[] = [];
    const pages = paginateDescribeStackEvents({ client }, { StackName: group.nameOf(region) });
    for await (const { StackEvents = [] } of pages) {
      for (const each of StackEvents) {
        events.push({
          id: each.LogicalResourceId!,
          type: each.ResourceType!,
          status: each.ResourceStatus!,
          reason: each.ResourceStatusReason ?? '',
        });
        if (each.ResourceType === STACK && each.ResourceStatus === 'UPDATE_IN_PROGRESS') return events;
      }
    }
    throw new Error(`the stack of ${region} was never updated`);
  });
}

async function statusOf(group: Group, region: string): Promise<string | undefined> {
  const command = new DescribeStacksCommand({ StackName: group.nameOf(region) });
  return withCloudFormation(region, async (client) => (await client.send(command)).Stacks?.[0]?.StackStatus);
}

async function withCloudFormation<T>(
  region: string,
  ask: (client: CloudFormationClient) => Promise<T>,
): Promise<T> {
  const client = new CloudFormationClient({ region });
  try {
    return await ask(client);
  } finally {
    client.destroy();
  }
}

/** Code and settings of a Region's functions, and when each was changed last. */
async function functionsOf(group: Group, region: string): Promise<string> {
  const all = await Promise.all(
    FUNCTIONS.map(async (part) => {
      const command = new GetFunctionConfigurationCommand({ FunctionName: group.nameOf(part) });
      const { CodeSha256, Environment, LastModified } = await group.lambda(region).send(command);
      return { part, CodeSha256, LastModified, Environment };
    }),
  );
  return JSON.stringify(all);
}
