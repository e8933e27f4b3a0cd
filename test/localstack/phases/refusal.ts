import { CloudFormationClient, DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetFunctionConfigurationCommand } from '@aws-sdk/client-lambda';
import type { Group } from '../group.ts';
import { standingOf } from '../items.ts';
import { deployOne } from './deploy.ts';
import { leads } from './drill.ts';

/** What the group must not have done to it is refused by the deployment itself, with the reason, and rolled back whole. */
export async function refusal(group: Group): Promise<void> {
  const { report, target } = group;
  const { foreign, spare } = target;
  if (spare === undefined || foreign !== undefined) return;
  const { epoch, leader } = await standingOf(group, group.regions[0]!);
  const all = group.regions;
  const region = all.find((each) => each !== leader)!;
  report.begin('a deployment that is refused');
  const before = await settingsOf(group, region);
  await report.check(`${region} without ${leader}, which leads: refused, with the reason`, async () => {
    group.regions = [...all.filter((each) => each !== leader), spare];
    try {
      await deployOne(group, region);
    } catch (error) {
      const why = /\S+ leads epoch \d+, and is not a replica of the group[^.]*\./.exec(String(error));
      if (why === null) throw error;
      return why[0];
    } finally {
      group.regions = all;
    }
    throw new Error('it was deployed');
  });
  await report.check('it is rolled back whole', async () => {
    const status = await statusOf(group, region);
    if (status !== 'UPDATE_ROLLBACK_COMPLETE') throw new Error(`the stack is ${status}`);
    const after = await settingsOf(group, region);
    if (after !== before) throw new Error(`sentinel is told ${after}, no longer ${before}`);
    return status;
  });
  await leads(group, epoch, leader, all);
}

async function statusOf(group: Group, region: string): Promise<string | undefined> {
  const cloudformation = new CloudFormationClient({ region });
  try {
    const command = new DescribeStacksCommand({ StackName: group.nameOf(region) });
    return (await cloudformation.send(command)).Stacks?.[0]?.StackStatus;
  } finally {
    cloudformation.destroy();
  }
}

async function settingsOf(group: Group, region: string): Promise<string | undefined> {
  const command = new GetFunctionConfigurationCommand({ FunctionName: group.nameOf('sentinel') });
  const { Environment } = await group.lambda(region).send(command);
  return Environment?.Variables?.UNDERSTUDY_CONFIG;
}
