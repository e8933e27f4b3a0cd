import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/**
 * Where a group keeps its acceptors, if not one in each Region's control table: as items of one MRSC global table, a
 * table of DynamoDB's multi-Region strong consistency. It has this name in all of the group's Regions.
 */
export type RegisterConfig = { readonly kind: 'mrsc'; readonly table: string };

/**
 * The sets of Regions that DynamoDB can span with one MRSC table; each has three Regions of one set. Understudy takes three
 * replicas of it, and not two with a witness of DynamoDB's: each Region's sentinel reads and writes the one at hand.
 */
export const MRSC = {
  asOf: '2026-11-26',
  source:
    'https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-dynamodb-globaltable-globaltablewitness.html',
  replicas: 3,
  sets: {
    US: ['us-east-1', 'us-east-2', 'us-west-2'],
    EU: ['eu-west-1', 'eu-west-2', 'eu-west-3', 'eu-central-1'],
    AP: ['ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
  },
} as const;

/** Throws CONFIG_INVALID that begins with `register` unless one MRSC table can span these Regions: replicas and witnesses. */
export function refuseUnspanned(members: readonly RegionId[]): void {
  const sets = Object.entries<readonly string[]>(MRSC.sets);
  const next = `Use Register.quorum, which spans any Regions; or ${MRSC.replicas} Regions, a witness among them or not, of one of: ${sets
    .map(([name, regions]) => `${name} (${regions.join(', ')})`)
    .join('; ')}.`;
  const refused = (what: string) => new UnderstudyError('CONFIG_INVALID', `register: ${what}`, next);
  const outside = (regions: readonly string[]) => members.filter((each) => !regions.includes(each));
  // The set that holds most of them is the one that was meant.
  const [name, regions] = sets.reduce((best, each) =>
    outside(each[1]).length < outside(best[1]).length ? each : best,
  );
  const strangers = outside(regions);
  const list = members.join(', ');
  if (strangers.length === members.length) {
    throw refused(`no MRSC table can span ${list}: they are in none of its Region sets`);
  }
  if (strangers.length > 0) {
    const are = strangers.length === 1 ? 'is' : 'are';
    throw refused(
      `no MRSC table can span ${list}: ${strangers.join(' and ')} ${are} not in the ${name} Region set`,
    );
  }
  if (members.length !== MRSC.replicas) {
    throw refused(
      `an MRSC table has exactly ${MRSC.replicas} Regions, and the group has ${members.length}: ${list}`,
    );
  }
}
