import type { GroupId } from '#lib/domain/ids.ts';

/** The composite alarm of all that is to be paged on. */
export const UNSAFE_ALARM = 'unsafe';

/** The alarms that speak against promoting the replica in whose Region they are on. */
export const LAG_ALARMS = ['applied-lag', 'durable-lag'] as const;

/** How an alarm of a group stands in one Region. */
export type AlarmState = {
  /** Its name within the group, e.g. `applied-lag`. */
  readonly alarm: string;
  /** `unknown`: CloudWatch has too little to go by. */
  readonly state: 'ok' | 'alarm' | 'unknown';
  /** Unix ms. */
  readonly sinceMs: number;
  /** Why, in CloudWatch's words. */
  readonly reason: string;
  /** What it means, and what to do: its description. */
  readonly text: string;
};

/** Name of a group's alarm in CloudWatch, the same in every Region. */
export function alarmName(group: GroupId, alarm: string): string {
  return `understudy-${group}-${alarm}`;
}

/** The first of the lag alarms that is on, by name. */
export function lagAlarmIn(alarms: readonly AlarmState[]): string | undefined {
  return LAG_ALARMS.find((name) => alarms.some(({ alarm, state }) => alarm === name && state === 'alarm'));
}
