import { UnderstudyError } from '#lib/domain/errors.ts';

declare const brand: unique symbol;
type Brand<T, B extends string> = T & { readonly [brand]: B };

/** Name of a replication group: 3 to 40 characters of a-z, 0-9 and '-'. */
export type GroupId = Brand<string, 'GroupId'>;
/** Name of an AWS Region, e.g. `eu-west-1`; it is also the name of the replica that lives there. */
export type RegionId = Brand<string, 'RegionId'>;
/** Name of a lane: an independent LSN sequence of a group. Most groups have the one lane `0`. */
export type LaneId = Brand<string, 'LaneId'>;

function parser<T extends string>(kind: string, pattern: RegExp, hint: string) {
  return (text: string): T => {
    if (!pattern.test(text)) {
      throw new UnderstudyError('CONFIG_INVALID', `${kind} ${JSON.stringify(text)} is not valid`, hint);
    }
    return text as T;
  };
}

export const parseGroupId = parser<GroupId>(
  'group',
  /^[a-z0-9][a-z0-9-]{1,38}[a-z0-9]$/,
  "Use 3 to 40 characters of a-z, 0-9 and '-'.",
);
export const parseRegionId = parser<RegionId>(
  'Region',
  /^[a-z]{2,4}(-[a-z]+)+-\d$/,
  'Use the code of an AWS Region, such as eu-west-1.',
);
export const parseLaneId = parser<LaneId>(
  'lane',
  /^[a-z0-9]{1,16}$/,
  'Use 1 to 16 characters of a-z and 0-9.',
);

/** The lane of a group that has one. */
export const LANE_0 = parseLaneId('0');
/** The lanes of every group, for whoever must leave none out. */
export const LANES: readonly LaneId[] = [LANE_0];
