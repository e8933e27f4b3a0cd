import type { Profile } from '#lib/domain/control/profile.ts';

/** What AWS takes for a minute, and a group that nobody watches, ms. */
const MINUTE_MS = 60_000;
const UNWATCHED_MS = 2_000;

/**
 * How long a minute of the alarms takes, ms: several times what it takes to notice a lost leader, as far as AWS's own minute
 * is. An alarm by which figures that are missing since then would decide the election that follows would come too early.
 */
export function alarmMinuteOf(profile: Pick<Profile, 'leaseMs' | 'marginMs'> | undefined): number {
  if (profile === undefined) return UNWATCHED_MS;
  return Math.min(MINUTE_MS, 5 * (profile.leaseMs + profile.marginMs));
}
