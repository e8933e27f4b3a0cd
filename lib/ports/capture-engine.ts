import type { LaneId } from '#lib/domain/ids.ts';
import type { Draft } from '#lib/domain/log.ts';
import type { Reject } from '#lib/ports/rejects.ts';

/** What a batch of source records of one shard comes to. */
export type EncodedBatch = {
  /** The local changes as a segment; absent if there are none. */
  readonly segment: { readonly bytes: Uint8Array; readonly draft: Draft } | undefined;
  /** Records that an applier wrote: never shipped again. */
  readonly applied: number;
  /** Records that can't be logged, with the place in the batch of each. */
  readonly rejects: readonly { readonly index: number; readonly reject: Reject }[];
};

/** An engine's way from its source's records to segments. `R` is the source's record. */
export interface CaptureEngine<R> {
  /** Position of a record in its shard; undefined for a record that has none. */
  sequenceOf(record: R): string | undefined;
  /** Throws only what concerns the whole source; a bad record is a reject. */
  encode(lane: LaneId, shard: string, records: readonly R[]): EncodedBatch;
}
