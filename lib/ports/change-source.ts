/** Consecutive records of a source; what `position` means is the source's own affair. */
export type SourceBatch<R> = {
  readonly records: readonly R[];
  /** Up to where the source may forget once the records are in the log; undefined: no further than before. */
  readonly position: string | undefined;
};

/** A store that keeps its changes until they are confirmed to it: a replication slot. */
export interface ChangeSource<R> {
  /** Names the source among all that a group ever had: a source that is made anew has another name. */
  readonly shard: string;
  /**
   * Changes that are not confirmed, in order, in batches of bounded size. The next batch is asked for when the one
   * before is in the log. Ends when the source has no more for now, or, for one that waits for changes, when `signal`
   * says so. May deliver again what was delivered before. Throws SLOT_LOST, SLOT_BUSY and PUBLICATION_UNFIT.
   */
  batches(signal: AbortSignal): AsyncIterable<SourceBatch<R>>;
  /** The records of all batches up to this position are in the log. */
  confirm(position: string): Promise<void>;
}
