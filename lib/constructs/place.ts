import { type Duration, type RemovalPolicy, Stack, Token } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { bucketName } from '#lib/constructs/bucket-name.ts';
import { tableNames } from '#lib/constructs/names.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type EngineConfig, type GroupConfig, membersOf } from '#lib/domain/topology.ts';

/** One Region of a group in an account: what every construct needs to know of where it is. */
export type Place<E extends EngineConfig = EngineConfig> = {
  readonly config: GroupConfig<E>;
  readonly region: RegionId;
  /** 12 digits, or the token of whichever account the stack is deployed to. */
  readonly account: string;
  /** What becomes of the group's data when the stack is deleted. */
  readonly removal: RemovalPolicy.RETAIN | RemovalPolicy.DESTROY;
  /** Whether data, log and control data are encrypted by keys of AWS's, or by one of the account's own per Region. */
  readonly encryption: 'aws' | 'customer';
  /** How long no segment can be deleted, by anybody; not at all if absent. */
  readonly objectLock: Duration | undefined;
};

/** Where a stack of the group goes. */
export function environmentOf({ account, region }: Pick<Place, 'account' | 'region'>) {
  return Token.isUnresolved(account) ? { region } : { account, region };
}

/** ARN of a table of this account in `region`: by its name, so that no stack refers to another Region's. */
export function tableArn(scope: Construct, table: string, region: RegionId): string {
  return Stack.of(scope).formatArn({ service: 'dynamodb', region, resource: 'table', resourceName: table });
}

/** ARNs of a table of this account in every replica's Region; of the control table, in every member's. */
export function tableArns(
  scope: Construct,
  { config }: Pick<Place, 'config'>,
  table: string,
): readonly string[] {
  const all = table === tableNames(config.group).control;
  const regions = all ? membersOf(config) : config.regions.map(({ name }) => name);
  return regions.map((region) => tableArn(scope, table, region));
}

/** ARNs of the log bucket in `region`, of the group's segments in it, of its divergent changes, and of its drills. */
export function bucketArns(scope: Construct, place: Place, region: RegionId) {
  const name = bucketName(place.config.group, place.account, region);
  const bucket = Stack.of(scope).formatArn({ service: 's3', region: '', account: '', resource: name });
  const { group } = place.config;
  return {
    bucket,
    segments: `${bucket}/${group}/*`,
    divergent: `${bucket}/_divergence/${group}/*`,
    drills: `${bucket}/_drills/${group}/*`,
  };
}
