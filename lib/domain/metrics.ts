/**
 * Who sends a figure, which says what it costs: CloudWatch bills a metric for each hour in which it is sent.
 * - follower: each Region that follows; and the leader, whose copy is the original, in seconds alone
 * - leader: the Region that leads
 * - database: each Region with a PostgreSQL database
 * - witness: each Region that votes and holds no data
 * - incident: whoever has something to count; nobody while there is nothing
 */
type Sender = 'follower' | 'leader' | 'database' | 'witness' | 'incident';

type MetricSpec = {
  readonly unit: 'Count' | 'Seconds' | 'Bytes' | 'Percent' | 'None';
  readonly sent: Sender;
};

/**
 * Every figure that a Region sends about itself, by group and Region. A figure that is not known is not sent: nobody
 * may take it for 0.
 */
export const METRICS = {
  /** Age of the newest change in the leader's log. */
  CaptureAgeSeconds: { unit: 'Seconds', sent: 'leader' },
  DurableLagSeconds: { unit: 'Seconds', sent: 'follower' },
  DurableLagRecords: { unit: 'Count', sent: 'follower' },
  DurableLagBytes: { unit: 'Bytes', sent: 'follower' },
  AppliedLagSeconds: { unit: 'Seconds', sent: 'follower' },
  AppliedLagRecords: { unit: 'Count', sent: 'follower' },
  AppliedLagBytes: { unit: 'Bytes', sent: 'follower' },
  /** The most that would be lost if the leader were lost now. */
  RpoSeconds: { unit: 'Seconds', sent: 'leader' },
  RpoRecords: { unit: 'Count', sent: 'leader' },
  /** WAL that a PostgreSQL server keeps for its slot. */
  SlotRetainedBytes: { unit: 'Bytes', sent: 'database' },
  /** Replicas that may be promoted. */
  Candidates: { unit: 'Count', sent: 'leader' },
  /** The least of the lease that was left, as a share of all of it; 0 once it was lost. */
  LeaseLeftPercent: { unit: 'Percent', sent: 'leader' },
  Epoch: { unit: 'None', sent: 'leader' },
  /** 1 where this Region leads. */
  Leads: { unit: 'Count', sent: 'leader' },
  /** 1, whenever a witness has looked after itself: it has no lag to be missed by. */
  WitnessUp: { unit: 'Count', sent: 'witness' },
  /** Beats that no majority took. */
  BeatsRefused: { unit: 'Count', sent: 'incident' },
  /** Canaries that failed, or took longer than a lease. */
  CanariesLate: { unit: 'Count', sent: 'incident' },
  /** 1 while this Region's vote against the leader is in force. */
  VotesInForce: { unit: 'Count', sent: 'incident' },
  /** Tails that diverged and that nobody has discarded. */
  Divergences: { unit: 'Count', sent: 'incident' },
  /** Times that a follower needed what a log no longer held, as that log or the follower's own Region says. */
  BehindRetention: { unit: 'Count', sent: 'incident' },
  /** Changes that could not be logged. */
  RejectedRecords: { unit: 'Count', sent: 'incident' },
  /** Looks at a slot that is gone, or has lost changes. */
  SlotsLost: { unit: 'Count', sent: 'incident' },
  LocalWritesAtFollower: { unit: 'Count', sent: 'incident' },
} as const satisfies Record<string, MetricSpec>;

export type MetricName = keyof typeof METRICS;

/** Events that are also counted: each adds 1 to a figure. */
export const COUNTED: Readonly<Record<string, MetricName>> = {
  'beat-refused': 'BeatsRefused',
  'canary-slow': 'CanariesLate',
  'canary-failed': 'CanariesLate',
  voted: 'VotesInForce',
  FOLLOWER_BEHIND_RETENTION: 'BehindRetention',
  SLOT_LOST: 'SlotsLost',
};
