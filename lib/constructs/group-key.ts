import { Duration, Stack } from 'aws-cdk-lib';
import { type IRole, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import type { Construct } from 'constructs';
import { explainWildcard } from '#lib/constructs/explain-wildcard.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import { membersOf } from '#lib/domain/topology.ts';

/** What it takes to use an encrypted table, bucket or queue; to make one is the deployer's right. */
const USE = [
  'kms:Decrypt',
  'kms:DescribeKey',
  'kms:Encrypt',
  'kms:GenerateDataKey',
  'kms:ReEncryptFrom',
  'kms:ReEncryptTo',
];
const SERVICES = ['dynamodb', 's3', 'sqs'];

/**
 * The key of the Region of `scope`, where the group has keys of its own; made when it is first asked for. The other
 * Regions find it by its alias, which is the same in each.
 */
export function groupKey(scope: Construct, { config, encryption, removal }: Place): Key | undefined {
  if (encryption === 'aws') return undefined;
  const stack = Stack.of(scope);
  const made = stack.node.tryFindChild('Key') as Key | undefined;
  if (made !== undefined) return made;
  return new Key(stack, 'Key', {
    alias: aliasOf(config.group),
    description: `Understudy: data, log and control data of group ${config.group}`,
    enableKeyRotation: true,
    pendingWindow: Duration.days(30),
    removalPolicy: removal,
  });
}

/**
 * Using the group's keys of all Regions, through the services that hold its data. The ids of the other Regions' keys
 * are known to nobody here: the condition on the alias is what names them.
 */
export function grantGroupKeys(role: IRole, { config }: Pick<Place, 'config'>): void {
  const stack = Stack.of(role);
  const regions = membersOf(config);
  const resources = regions.map((region) =>
    stack.formatArn({ service: 'kms', region, resource: 'key', resourceName: '*' }),
  );
  role.addToPrincipalPolicy(
    new PolicyStatement({
      actions: USE,
      resources,
      conditions: {
        'ForAnyValue:StringEquals': { 'kms:ResourceAliases': aliasOf(config.group) },
        StringEquals: {
          'kms:ViaService': regions.flatMap((region) =>
            SERVICES.map((service) => `${service}.${region}.${stack.urlSuffix}`),
          ),
        },
      },
    }),
  );
  for (const resource of resources) {
    explainWildcard(
      role,
      resource,
      "A key has its id only once it exists; the condition admits the group's own alone.",
    );
  }
}

function aliasOf(group: GroupId): string {
  return `alias/${resourceName(group, 'data')}`;
}
