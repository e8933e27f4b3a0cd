import { Token } from 'aws-cdk-lib';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, RegionId } from '#lib/domain/ids.ts';

/** S3 takes bucket names of up to 63 characters. */
const BUCKET_NAME_MAX = 63;

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
