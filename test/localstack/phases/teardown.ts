import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CloudFormationClient, paginateListStackResources } from '@aws-sdk/client-cloudformation';
import { deleteRetained } from '../delete-retained.ts';
import { deleteZone } from '../dns-record.ts';
import { deleteStrayLogGroups } from '../foreign/stray-log-groups.ts';
import type { Group } from '../group.ts';
import { inventoryOf } from '../inventory.ts';

/** Kinds of the inventory, by the types of CloudFormation that are retained. */
const KINDS: Readonly<Record<string, string>> = {
  'AWS::DynamoDB::Table': 'table',
  'AWS::S3::Bucket': 'bucket',
  'AWS::SQS::Queue': 'queue',
};

/** Removes what was deployed, and looks at what is left. */
export async function teardown(group: Group): Promise<void> {
  const { report } = group;
  report.begin('tear down');
  const retained = [...group.retained, ...(await retainedOf(group, group.regions))].toSorted();
  await report.check('cdk destroy --all', () => group.cdk(['destroy', '--all', '--force']));
  if (group.target.foreign !== undefined) {
    report.say(`      without ${await deleteStrayLogGroups(group)} log groups that this cloud has made anew`);
  }
  await report.check(
    'what is left is what the templates retain, and nothing else',
    async () => {
      const left = await inventoryOf(group);
      const more = left.filter((each) => !retained.includes(each));
      const less = retained.filter((each) => !left.includes(each));
      if (more.length > 0) throw new Error(`too much: ${more.join('; ')}`);
      if (less.length > 0) throw new Error(`too little: ${less.join('; ')}`);
      return left;
    },
    (left) => `${left.length} resources`,
  );
  for (const each of retained) report.say(`      retained: ${each}`);
  await report.check('docs/OPERATIONS.md, "Delete the data": what was retained goes by hand', async () => {
    await deleteRetained(group);
    await deleteZone(group);
    const left = await inventoryOf(group);
    if (left.length > 0) throw new Error(left.join('; '));
  });
}

/** What the templates say is to outlive its stack, by the names that CloudFormation gave it. */
export async function retainedOf(group: Group, regions: readonly string[]): Promise<readonly string[]> {
  const retained: string[] = [];
  for (const region of regions) {
    const stack = group.nameOf(region);
    const Resources = await resourcesOf(group, stack);
    const cloudformation = new CloudFormationClient({ region });
    const pages = paginateListStackResources({ client: cloudformation }, { StackName: stack });
    for await (const { StackResourceSummaries = [] } of pages) {
      for (const { LogicalResourceId, PhysicalResourceId, ResourceType } of StackResourceSummaries) {
        if (Resources[LogicalResourceId!]?.DeletionPolicy !== 'Retain') continue;
        retained.push(
          `${region} ${KINDS[ResourceType!] ?? ResourceType} ${PhysicalResourceId!.split('/').at(-1)}`,
        );
      }
    }
    cloudformation.destroy();
  }
  return retained;
}

/** The resources of a stack's template as it was synthesized last. */
async function resourcesOf(
  group: Group,
  stack: string,
): Promise<Record<string, { DeletionPolicy?: string }>> {
  const read = async (file: string): Promise<unknown> =>
    JSON.parse(await readFile(join(group.assembly, file), 'utf8'));
  const { artifacts } = (await read('manifest.json')) as {
    artifacts: Record<string, { properties?: { stackName?: string; templateFile?: string } }>;
  };
  const file = Object.values(artifacts).find(({ properties }) => properties?.stackName === stack);
  const template = (await read(file!.properties!.templateFile!)) as { Resources: Record<string, object> };
  return template.Resources;
}
