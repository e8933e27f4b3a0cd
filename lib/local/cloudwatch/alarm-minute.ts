import type { Profile } from '#lib/domain/control/profile.ts';

/** What AWS takes for a minute, ms. */
const MINUTE_MS = 60_000;

/**
 * How long a minute of the alarms takes, ms: several times what it takes to notice a lost leader, as far as AWS's own minute
 * is. An alarm by which figures that are missing since then would decide the election that follows would come too early.
 */
export function alarmMinuteOf({ leaseMs, marginMs }: Pick<Profile, 'leaseMs' | 'marginMs'>): number {
  return Math.min(MINUTE_MS, 5 * (leaseMs + marginMs));
}
