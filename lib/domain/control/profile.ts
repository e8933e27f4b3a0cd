/** How soon silence is taken for death, and how long a lease lasts. All times in ms. */
export type Profile = {
  readonly name: 'fast' | 'balanced' | 'cautious';
  /** Between two beats of the leader. */
  readonly beatMs: number;
  /** Between two looks of a sentinel. */
  readonly lookMs: number;
  /** How long a beat that a majority took lends the lease, by the leader's clock, from when it was sent. */
  readonly leaseMs: number;
  /** How much longer than the lease a Region watches a counter stand still before it votes. */
  readonly marginMs: number;
  /** How long a coordinator may make no progress before its epoch is taken over. */
  readonly takeoverMs: number;
  /** After a failover: no automatic one before this is over, unless it is acknowledged. */
  readonly cooldownMs: number;
  /** A replica whose applied lag is above this is no candidate. */
  readonly maxLagMs: number;
  /** A person approves before an epoch is claimed. */
  readonly approval: boolean;
};

/**
 * The margin covers clocks whose rates differ by MAX_DRIFT each way: `lease * (1 + drift) < (lease + margin) * (1 -
 * drift)`.
 */
export const MAX_DRIFT = 0.05;

export const PROFILES: Readonly<Record<Profile['name'], Profile>> = {
  fast: {
    name: 'fast',
    beatMs: 250,
    lookMs: 100,
    leaseMs: 1_500,
    marginMs: 500,
    takeoverMs: 6_000,
    cooldownMs: 60_000,
    maxLagMs: 60_000,
    approval: false,
  },
  balanced: {
    name: 'balanced',
    beatMs: 3_000,
    lookMs: 1_000,
    leaseMs: 11_000,
    marginMs: 4_000,
    takeoverMs: 30_000,
    cooldownMs: 600_000,
    maxLagMs: 120_000,
    approval: false,
  },
  cautious: {
    name: 'cautious',
    beatMs: 10_000,
    lookMs: 2_000,
    leaseMs: 45_000,
    marginMs: 15_000,
    takeoverMs: 120_000,
    cooldownMs: 3_600_000,
    maxLagMs: 300_000,
    approval: true,
  },
};
