import type { AlarmState } from '#lib/domain/alarms.ts';

/** The alarms of a group in one Region. */
export interface AlarmStates {
  /** Of the alarms of these names, those that exist, in the order of the names. Throws ALARMS_UNREADABLE. */
  of(names: readonly string[]): Promise<readonly AlarmState[]>;
}
