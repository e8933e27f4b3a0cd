import type { LaneId } from '#lib/domain/ids.ts';
import type { AppendOutcome, Entry, Head, SealOutcome } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/**
 * A replica's copy of the log: segment objects and, per lane, entries and a head. Every method either has the
 * effect that it names or throws; a throw leaves the outcome unknown and the call may be made again.
 */
export interface ReplicaLog {
  /**
   * Stores a segment under its SHA-256 (hex), for an append to `at`. Write-once: the same bytes again are no error.
   * An append to a head of another generation finds the head moved: put the segment again for that one.
   *
   * `small`: nothing is stored; the entry that names it is to hold it.
   */
  putSegment(hash: string, bytes: Uint8Array, at: Pick<Head, 'generation'>): Promise<'stored' | 'small'>;
  /**
   * The bytes whose SHA-256 is the entry's `hash`, from the entry or from what is stored. Throws SEGMENT_MISSING, or
   * SEGMENT_FORGED if the bytes are others.
   */
  getSegment(entry: Pick<Entry, 'hash' | 'segment'>): Promise<Uint8Array>;

  /** The head in force (a strongly consistent read); the empty head for a lane never written. */
  head(lane: LaneId): Promise<Head>;
  /** Up to `limit` entries in order, beginning with the first that starts at `from` or later. */
  entries(lane: LaneId, from: Lsn, limit: number): Promise<readonly Entry[]>;
  /** The entry that holds `lsn`; undefined if it is not written yet or was unlinked. */
  entryAt(lane: LaneId, lsn: Lsn): Promise<Entry | undefined>;

  /**
   * Appends `entries`, which must continue `expected`, in one step or not at all: at most MAX_APPEND of them.
   * `authority` is the epoch in whose name the caller writes. See `append` in domain/log.ts.
   */
  append(lane: LaneId, expected: Head, entries: readonly Entry[], authority: Epoch): Promise<AppendOutcome>;
  /** Fences every epoch below `epoch` and returns where the log ends, in one step. */
  seal(lane: LaneId, epoch: Epoch): Promise<SealOutcome>;
  /** Starts the lane over from another log's head, if `expected` is still in force; the head in force if not. */
  rebase(lane: LaneId, expected: Head, onto: Head): Promise<Head>;
  /** Takes the lane back to the end of `entry`, if `expected` is still in force; the head in force if not. */
  rewind(lane: LaneId, expected: Head, entry: Entry): Promise<Head>;
}

/** Entries in one append: DynamoDB takes 100 items a transaction, one of which is the head. */
export const MAX_APPEND = 50;
