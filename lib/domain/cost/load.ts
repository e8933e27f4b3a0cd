import { PROFILES } from '#lib/domain/control/profile.ts';
import type { StackFacts } from '#lib/domain/cost/stack-facts.ts';

/** A steady load; what the application's own writes at the leader cost is not part of the bill. */
export type Load = {
  /** Changes a second, all of them updates but for `inserts`. */
  readonly records: number;
  /** Size of an item, without the stamp, or of a row. */
  readonly bytes: number;
  /** The share of the changes that make a new item: applied in a transaction, at twice the price. Of tables alone. */
  readonly inserts: number;
  /** How a follower's table is billed. */
  readonly capacity: 'on-demand' | 'provisioned';
  /** The share of provisioned capacity that is used. */
  readonly utilization: number;
  /** Appends a second at most: how often Lambda polls a shard of the stream; of a database, one after the other. */
  readonly commits: number;
  /** Days for which the log is kept, and what has been unlinked. */
  readonly logDays: number;
  /** NAT gateways in each Region that are there for the functions of databases alone. */
  readonly natGateways: number;
};

export const DEFAULT_LOAD: Load = {
  records: 1_000,
  bytes: 1_024,
  inserts: 0,
  capacity: 'on-demand',
  utilization: 1,
  commits: 4,
  logDays: 8,
  natGateways: 1,
};

/** That of databases: an append takes some 50 ms, and the next one has what has come meanwhile. Assumed, not measured on AWS. */
export const DATABASE_LOAD: Load = { ...DEFAULT_LOAD, commits: 20 };

export const MONTH_S = 730 * 3_600;
export const GB = 1e9;
/** How long an invocation takes, s: assumed, not measured. What a real group takes is in its `Duration` metrics. */
export const DURATION_S = { capture: 0.06, push: 0.2, relay: 0.03, apply: 0.08, idle: 0.02 };

/** Appends a second: those of the load, or the canaries alone. */
export function commitsOf({ records, commits }: Load, { profile }: StackFacts): number {
  return Math.max(1_000 / PROFILES[profile].beatMs, Math.min(records, commits));
}

export function gbSeconds({ memory }: StackFacts, name: string, seconds: number): number {
  return ((memory[name] ?? 0) / 1_024) * seconds;
}
