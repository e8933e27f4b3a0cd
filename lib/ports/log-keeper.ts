import type { LaneId } from '#lib/domain/ids.ts';
import type { Entry, Head, KeepOutcome } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/** A segment object as it lies in the store: the same bytes may be there in several generations. */
export type StoredSegment = { readonly hash: string; readonly generation: number };

/** `count`: entries that this call has deleted; 0 once none is left before `first`. */
export type DropOutcome =
  | { readonly kind: 'dropped'; readonly count: number }
  | Exclude<KeepOutcome, { readonly kind: 'kept' }>;

/**
 * What retention alone does to a Region's copy of the log. `authority` is the epoch in whose name it acts: where a newer
 * one has sealed the log, the call is `fenced` and does nothing, however late it comes.
 */
export interface LogKeeper {
  /**
   * Unlinks what lies before `entry`, which stays: raises `firstLsn` if it is still that of `expected` and the entry is
   * still in the log. `atMs` is kept in the head, Unix ms.
   */
  unlink(lane: LaneId, expected: Head, entry: Entry, authority: Epoch, atMs: number): Promise<KeepOutcome>;
  /** Deletes some of the entries before `first`, if `firstLsn` is there or further on. */
  dropEntries(lane: LaneId, first: Lsn, authority: Epoch): Promise<DropOutcome>;
  /** Begins a new generation of segments; see `nextGeneration` in domain/log.ts. */
  nextGeneration(lane: LaneId, authority: Epoch): Promise<KeepOutcome>;
  /** Some of the stored segments that come after `after` in an order of the store's own; none at the end. */
  segments(after?: StoredSegment): Promise<readonly StoredSegment[]>;
  /**
   * Deletes segment objects: of earlier generations than the one in force, that no entry names. Then it does no harm
   * however late it takes effect, as whoever appends has put the segment in a later generation.
   */
  dropSegments(segments: readonly StoredSegment[]): Promise<void>;
}
