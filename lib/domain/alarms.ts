import type { GroupId } from '#lib/domain/ids.ts';

/** Name of a group's alarm in CloudWatch, the same in every Region. */
export function alarmName(group: GroupId, alarm: string): string {
  return `understudy-${group}-${alarm}`;
}
