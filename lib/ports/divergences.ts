import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import type { Draft, Entry } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { ApplyLease } from '#lib/ports/control.ts';

/** What a Region holds that the group has not: the tail of an epoch beyond the common prefix. */
export type Divergence = {
  /** The epoch in which the tail was written. */
  readonly epoch: Epoch;
  /** Segments of local changes that reached no log, by hash. */
  readonly collected: readonly string[];
  /** Commit time of the newest of them, Unix ms; 0 for none. */
  readonly newestMs: number;
  readonly report?: DivergenceReport;
  /** Set once somebody has decided that nobody needs the tail. The report itself stays. */
  readonly discarded?: { readonly by: string; readonly reason: string; readonly atMs: number };
};

/** A report that is saved: one JSON line a change, put under its hash. */
export type DivergenceReport = {
  readonly hash: string;
  readonly changes: number;
  readonly keys: number;
  readonly savedAtMs: number;
  /** The epoch to follow which the store was taken back from this tail; absent until it has been. */
  readonly takenBack?: Epoch;
};

/** A Region's own divergences, in its control table; what they refer to is in its log bucket, apart from the log. */
export interface Divergences {
  /** Keeps bytes under their SHA-256 (hex), for good: retention never touches them. The same again is no error. */
  put(hash: string, bytes: Uint8Array): Promise<void>;
  /** What was put under `hash`. Throws SEGMENT_MISSING, or SEGMENT_FORGED if the bytes are others. */
  get(hash: string): Promise<Uint8Array>;
  /** Notes a segment of local changes that no log took; the same one again is no error. */
  collect(epoch: Epoch, draft: Pick<Draft, 'hash' | 'maxCommitMs'>): Promise<void>;
  of(epoch: Epoch): Promise<Divergence | undefined>;
  save(epoch: Epoch, report: DivergenceReport): Promise<void>;
  discard(
    epoch: Epoch,
    by: { readonly by: string; readonly reason: string; readonly atMs: number },
  ): Promise<void>;
}

/** An engine's way back. */
export interface Rewinder {
  /** The changes of a segment, without the engine's own heartbeats. */
  read(bytes: Uint8Array, entry?: Entry): readonly DivergentChange[];
  /**
   * Puts every key back to what it was before the first of its changes. The rows are stamped (epoch, LSN). `lost`:
   * somebody else has taken the lease.
   */
  rewind(
    lease: ApplyLease,
    changes: readonly DivergentChange[],
    at: { readonly epoch: Epoch; readonly lsn: Lsn },
  ): Promise<'done' | 'lost'>;
}
