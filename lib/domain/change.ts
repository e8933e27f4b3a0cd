/** What a record says happened. An expiry is a delete by the store itself (time to live), kept apart. */
export type ChangeKind = 'insert' | 'update' | 'delete' | 'expiry' | 'statement' | 'marker';

/**
 * One record of a segment, in the engine's own bytes. `key`, `after` and `before` are opaque to the log; they
 * may be views into a larger buffer and must be copied to outlive it.
 */
export type ChangeRecord = {
  readonly kind: ChangeKind;
  /** Index into the segment's `tables`. */
  readonly table: number;
  /** Index into the segment's `shards`. */
  readonly shard: number;
  /** Position in the source: a decimal string that grows within its shard. */
  readonly sequence: string;
  /** Commit time by the source, Unix ms. */
  readonly commitMs: number;
  readonly key: Uint8Array;
  /** The row after the change; absent for deletes. */
  readonly after: Uint8Array | undefined;
  /** What the row was before; absent for inserts. The engine may store it as a difference from `after`. */
  readonly before: Uint8Array | undefined;
};

/** A record on its way into a segment: its bytes end to end, as the engine has just written them. */
export type ChangeInput = Pick<ChangeRecord, 'kind' | 'table' | 'shard' | 'sequence' | 'commitMs'> & {
  /** Key, after, before, with nothing between. */
  readonly body: Uint8Array;
  readonly keyBytes: number;
  /** Absent where the record has no such image, which is not the same as 0. */
  readonly afterBytes: number | undefined;
  readonly beforeBytes: number | undefined;
};
