import type { Profile as Timing } from '#lib/domain/control/profile.ts';

/** How soon a silent leader is taken for dead. */
export type Profile = Timing['name'];

/** The profiles that there are; docs/ARCHITECTURE.md has their times. */
export const Profile = {
  /** A failover begins about 2 s after the last beat: for Regions that are close, and writers that take it. */
  fast: 'fast',
  /** After 15 s: the default. */
  balanced: 'balanced',
  /** After 60 s, and once a person has approved it. */
  cautious: 'cautious',
} as const satisfies Record<Timing['name'], Timing['name']>;
