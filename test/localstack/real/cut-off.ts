import {
  DeleteRolePolicyCommand,
  IAMClient,
  ListRoleTagsCommand,
  PutRolePolicyCommand,
} from '@aws-sdk/client-iam';
import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import type { Group } from '../group.ts';
import { assertOwn } from './real-plan.ts';

const PolicyName = 'understudy-e2e-outage';
const DENY = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Deny', Action: '*', Resource: '*' }],
});

/**
 * An outage where nobody can stop a Region: its functions are forbidden everything, so that its leader neither beats
 * nor answers, while the table there still takes writes, as that of a leader does that is cut off.
 */
export async function cutOff(group: Group, region: string): Promise<void> {
  await eachRole(group, region, async (iam, RoleName) => {
    await iam.send(new PutRolePolicyCommand({ RoleName, PolicyName, PolicyDocument: DENY }));
  });
}

export async function reconnect(group: Group, region: string): Promise<void> {
  await eachRole(group, region, async (iam, RoleName) => {
    await iam.send(new DeleteRolePolicyCommand({ RoleName, PolicyName }));
  });
}

async function eachRole(
  group: Group,
  region: string,
  change: (iam: IAMClient, role: string) => Promise<void>,
): Promise<void> {
  const iam = new IAMClient({ region: 'us-east-1' });
  for (const part of FUNCTIONS) {
    const { Role } = await group
      .lambda(region)
      .send(new GetFunctionConfigurationCommand({ FunctionName: group.nameOf(part) }));
    const RoleName = Role!.split('/').at(-1)!;
    const { Tags = [] } = await iam.send(new ListRoleTagsCommand({ RoleName }));
    assertOwn(group.id, RoleName, Object.fromEntries(Tags.map(({ Key, Value }) => [Key!, Value!])));
    await change(iam, RoleName);
  }
  iam.destroy();
}
