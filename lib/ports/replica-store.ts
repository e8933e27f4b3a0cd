import type { Entry, Head } from '#lib/domain/log.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';

/** An entry with the bytes of its segment. */
export type PlacedSegment = { readonly entry: Entry; readonly bytes: Uint8Array };

/** `lost`: another applier has taken over; whatever this one still does has no effect. */
export type ApplyOutcome =
  | { readonly kind: 'applied'; readonly state: ApplyState }
  | { readonly kind: 'lost' };

/** A follower's store as an engine drives it. Position and data move so that a crash anywhere is repaired by a retry. */
export interface ReplicaStore {
  /** True where the position may lie inside of an entry: it is where a transaction ends. */
  readonly splitsEntries?: boolean;
  /**
   * Applies consecutive segments and moves the position. The first holds the record right after the position; it may
   * begin before it. A store that keeps transactions whole may stop before the end of the run.
   */
  apply(lease: ApplyLease, state: ApplyState, run: readonly PlacedSegment[]): Promise<ApplyOutcome>;
  /** Begins a copy of the leader's store. `at`: the head of the leader's log, read just before. */
  beginSnapshot(lease: ApplyLease, at: Head): Promise<ApplyOutcome>;
  /**
   * One bounded step of the copy. `at`: the head of the leader's log, read just before; the caller applies
   * nothing above it until the step is done. The state has no snapshot once the copy is complete.
   */
  stepSnapshot(lease: ApplyLease, state: ApplyState, at: Head): Promise<ApplyOutcome>;
}
