import { Token } from 'aws-cdk-lib';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';

/** The Lambda functions of a Region; also their folders below `functions/`. */
export const FUNCTIONS = ['capture', 'relay', 'apply', 'sentinel', 'failover', 'retention'] as const;
export type FunctionName = (typeof FUNCTIONS)[number];
/** All functions that there is a bundle of: `deploy-check` runs while a stack is deployed, and never else. */
export const BUNDLES = [...FUNCTIONS, 'deploy-check'] as const;
export type BundleName = (typeof BUNDLES)[number];

/** S3 takes bucket names of up to 63 characters. */
const BUCKET_NAME_MAX = 63;

/** The tables that Understudy keeps in every Region; they have the same names in each. */
export function tableNames(group: GroupId): { readonly log: string; readonly control: string } {
  return { log: `understudy-${group}-log`, control: `understudy-${group}-control` };
}

/** The bucket of a Region's segments. Throws CONFIG_INVALID where S3 would refuse the name as too long. */
export function bucketName(group: GroupId, account: string, region: RegionId): string {
  const name = `understudy-${group}-${account}-${region}`;
  const excess = name.length - BUCKET_NAME_MAX - (Token.isUnresolved(account) ? account.length - 12 : 0);
  if (excess > 0) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `the bucket name ${name} is longer than ${BUCKET_NAME_MAX} characters`,
      `Give the group a name of at most ${group.length - excess} characters.`,
    );
  }
  return name;
}

/** Name of a group's own resource of any other kind: a function, a queue, an alarm, a rule. */
export function resourceName(group: GroupId, part: string): string {
  return `understudy-${group}-${part}`;
}

/** Name of a group's failover workflow; the same in every Region. */
export function workflowName(group: GroupId): string {
  return resourceName(group, 'failover');
}
