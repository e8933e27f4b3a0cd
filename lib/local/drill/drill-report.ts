import type { Rungs } from '#lib/domain/control/fence.ts';

/** What a drill plays. */
export const SCENARIOS = [
  'region-loss',
  'partition',
  'pause',
  'switchover',
  'flapping',
  'overload',
  'register-minority',
  'coordinator-loss',
  'double',
] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** One line of a drill's timeline. */
export type DrillEvent = {
  /** Milliseconds since the drill's fault, or what an operator asked for; negative before it. */
  readonly atMs: number;
  readonly phase:
    | 'before'
    | 'fault'
    | 'request'
    | 'detect'
    | 'claim'
    | 'fence'
    | 'elect'
    | 'drain'
    | 'promote'
    | 'repoint'
    | 'first-write'
    | 'heal'
    | 'reattach'
    | 'end';
  /** Where it happened: a Region, `client` or `dns`. */
  readonly at: string;
  /** One readable sentence. */
  readonly what: string;
  /** How often it happened, one time after the other, if more than once; `atMs` is the first. Known at the end alone. */
  readonly times?: number;
};

/** Durations, ms; null for a phase that the scenario does not have. */
export type DrillPhases = {
  /** From the last write accepted at the old leader to a majority of votes. */
  readonly detectMs: number | null;
  readonly claimMs: number | null;
  readonly fenceMs: number | null;
  readonly electMs: number | null;
  readonly drainMs: number | null;
  readonly promoteMs: number | null;
  readonly repointMs: number | null;
  /** From DNS in sync to the first write accepted at the new leader. */
  readonly firstWriteMs: number | null;
};

/** The end of a drill; with `--json`, its last line. */
export type DrillReport = {
  readonly kind: 'report';
  readonly scenario: Scenario;
  readonly profile: string;
  readonly ok: boolean;
  /** Why it is not ok, sentence by sentence. */
  readonly failures: readonly string[];
  readonly epoch: number;
  readonly leader: string;
  /** From the last write accepted at the old leader to the first at the new one, seen by a client; null without a failover. */
  readonly rtoMs: number | null;
  /** The longest time in which the client got no write through, ms. */
  readonly pauseMs: number;
  /** Rows or items that --load put into each table before the drill's writes; null without it. */
  readonly loaded: Readonly<Record<string, number>> | null;
  readonly acknowledged: number;
  /** Acknowledged writes that the group no longer has. */
  readonly lost: number;
  /** The most that may be lost, as the failover said, or all of them together, records; null for unknown. */
  readonly reportedRpoRecords: number | null;
  /**
   * Writes that the old leader's store made, by its own clock, and acknowledged after the new leader's first one, to somebody who
   * asked it directly and for no lease; null where nobody did.
   */
  readonly zombieAcknowledged: number | null;
  /**
   * Writes that it had made before that and acknowledged after it: their commits were under way when the server froze. One a session
   * at most; null where nobody asked.
   */
  readonly lateAcknowledged: number | null;
  /** Changes in the reports of what diverged. */
  readonly divergent: number;
  readonly digestsEqual: boolean;
  readonly phases: DrillPhases;
  readonly timeline: readonly DrillEvent[];
  /** Some of the divergent changes, as the report holds them. */
  readonly divergentSample: readonly unknown[];
  readonly candidates: readonly unknown[];
  /** What fenced the old leader, rung by rung; null if nobody was promoted. */
  readonly fence: Rungs | null;
};
