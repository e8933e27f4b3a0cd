import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import type { Draft, Entry } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { Marks } from '#lib/domain/marks.ts';
import type { Applied, ApplyLease } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

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

/** An engine's way back: by images, row by row, or in one transaction. */
export type WayBack = Rewinder | TransactionRewinder;

/** The way back of a store whose rows bear stamps, and whose position is kept elsewhere. */
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

/** The way back of a store that has transactions, and keeps its position with its rows. */
export interface TransactionRewinder {
  /** The changes of a segment, without the engine's own heartbeats. */
  read(bytes: Uint8Array, entry?: Entry): readonly DivergentChange[];
  /**
   * Where in a log the last transaction ends that the group has whole, at `upTo` or before: what of `log` comes after
   * `upTo` is the group's no more.
   *
   * @param led the store led, so that a transaction which its log has begun to tell is one that it has made.
   */
  wholeUpTo(log: ReplicaLog, upTo: Lsn, led: boolean): Promise<Lsn>;
  /** The same changes in words that people can read. */
  tell(changes: readonly DivergentChange[]): Promise<readonly DivergentChange[]>;
  /**
   * Undoes the changes by what the leader has in their place, and brings the store to that moment of the leader's log: in
   * one transaction, together with the position. `lost`: somebody else has taken the lease, or it is not the time yet;
   * nothing has changed. `unknown`: it can't be done, and the store must be copied anew.
   */
  takeOver(
    lease: ApplyLease,
    changes: readonly DivergentChange[],
    onto: {
      /** Without the changes, the store is as the log says up to here. */
      readonly from: Applied;
      /** The store led: whatever was written to it is to be in the report. */
      readonly led: boolean;
      /** Of the own log: what of each source it has had. */
      readonly marks: Marks;
      /** Of the leader: what it holds after `from` is not in the store. */
      readonly log: ReplicaLog;
      /** In which that leader leads. */
      readonly epoch: Epoch;
      /** Asked last: false if the store is another epoch's by now. */
      readonly isDue: () => Promise<boolean>;
    },
  ): Promise<'done' | 'lost' | 'unknown'>;
}
