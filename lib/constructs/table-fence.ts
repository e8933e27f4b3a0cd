import { ArnFormat, type Stack } from 'aws-cdk-lib';
import type { Handler } from '#lib/constructs/handler.ts';
import { resourceName, roleName } from '#lib/constructs/names.ts';
import { type Place, tableArn, tableArns } from '#lib/constructs/place.ts';
import { type DynamoEngineConfig, membersOf } from '#lib/domain/topology.ts';

/**
 * Lets the sentinel fence and open the table here, and a failover fence any Region's, and lets both have `probe` try
 * whether the fence holds. Understudy's own roles go on writing while it is up.
 */
export function grantFence(
  scope: Stack,
  place: Place<DynamoEngineConfig>,
  { sentinel, failover, probe }: Readonly<Record<'sentinel' | 'failover' | 'probe', Handler>>,
): void {
  const { group, engine } = place.config;
  const { table } = engine;
  const replicas = place.config.regions.map(({ name }) => name);
  const name = resourceName(group, 'probe');
  const probeArn = (region: string) =>
    scope.formatArn({
      service: 'lambda',
      region,
      resource: 'function',
      resourceName: name,
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  const here = tableArn(scope, table, place.region);
  probe.allow(['dynamodb:PutItem'], [here]);
  sentinel.allow(
    ['dynamodb:GetResourcePolicy', 'dynamodb:PutResourcePolicy', 'dynamodb:DeleteResourcePolicy'],
    [here],
  );
  sentinel.allow(['lambda:InvokeFunction'], [probeArn(place.region)]);
  failover.allow(
    ['dynamodb:GetResourcePolicy', 'dynamodb:PutResourcePolicy'],
    tableArns(scope, place, table),
  );
  failover.allow(['lambda:InvokeFunction'], replicas.map(probeArn));
  const roleArn = (role: string) =>
    scope.formatArn({ service: 'iam', region: '', resource: 'role', resourceName: role });
  const exempt = [
    ...replicas.flatMap((region) => ['apply', 'failover'].map((fn) => roleName(group, fn, region))),
    ...membersOf(place.config).map((region) => roleName(group, 'sentinel', region)),
  ].map(roleArn);
  for (const handler of [sentinel, failover]) handler.tell({ failover: { fence: { exempt, probe: name } } });
}
