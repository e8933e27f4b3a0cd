import type { Lsn } from '#lib/domain/lsn.ts';

/** A place in a lane's log, with what is needed to tell how far another place is from it. */
export type Position = { readonly lsn: Lsn; readonly totalBytes: bigint; readonly commitMs: number };

/** How far a position lags behind the leader. */
export type Lag = {
  readonly records: bigint;
  readonly bytes: bigint;
  /** Age of the newest change that has arrived. Heartbeats keep it from growing while the leader is idle. */
  readonly ms: number;
};

/**
 * Lag of `at` behind the end of the leader's log, never less than the true lag: the age counts from the newest
 * change that has arrived, so what was committed since is included even if nobody here has heard of it.
 *
 * @param nowMs wall clock of the observer, Unix ms.
 */
export function lagOf(end: Position, at: Position, nowMs: number): Lag {
  return {
    records: end.lsn > at.lsn ? end.lsn - at.lsn : 0n,
    bytes: end.totalBytes > at.totalBytes ? end.totalBytes - at.totalBytes : 0n,
    ms: Math.max(0, nowMs - at.commitMs),
  };
}
