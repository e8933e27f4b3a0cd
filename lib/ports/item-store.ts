import type { Item } from '#lib/domain/attribute-value.ts';
import type { ApplyLease } from '#lib/ports/control.ts';

/** An item with the stamp under which it is to be written. `item` is without the reserved attribute. */
export type StampedItem = { readonly item: Item; readonly stamp: Uint8Array };

/**
 * - `written`: done.
 * - `superseded`: the stored item bears this stamp or a later one; nothing was written.
 * - `unstamped`, `absent`: there is no stamp to compare with, so nothing was written; write under the lease.
 */
export type GuardedOutcome = 'written' | 'superseded' | 'unstamped' | 'absent';

/** What a table's scan returns: items with the reserved attribute taken out and given apart. */
export type ScanPage = {
  readonly rows: readonly { readonly item: Item; readonly stamp: Uint8Array | undefined }[];
  /** Where the next page begins; absent after the last. */
  readonly cursor?: string;
};

/** The replica's table, reached by the conditional writes of the apply protocol. */
export interface ItemStore {
  /** Replaces a stored item whose stamp is earlier. One write unit per KiB. */
  replace(write: StampedItem): Promise<GuardedOutcome>;
  /**
   * Writes up to MAX_LEASED items in one transaction with a check of the lease: each unless the stored item
   * bears the same or a later stamp. `lost`: the lease has gone to somebody else; nothing was written.
   */
  putLeased(writes: readonly StampedItem[], lease: ApplyLease): Promise<'done' | 'lost'>;
  /** Marks a stored item of an earlier stamp as about to be deleted by the applier. */
  markDeleted(key: Item, stamp: Uint8Array): Promise<GuardedOutcome>;
  /** The same under the lease, for an item without a stamp; no effect if it is absent. */
  markDeletedLeased(key: Item, stamp: Uint8Array, lease: ApplyLease): Promise<'done' | 'lost'>;
  /** Deletes the item if it bears exactly this mark. */
  removeMarked(key: Item, stamp: Uint8Array): Promise<void>;

  /** Consistent read of a page of the table, or of one of `segments` equal parts of it. */
  scan(
    cursor: string | undefined,
    part?: { readonly segment: number; readonly segments: number },
  ): Promise<ScanPage>;
  /** Consistent read of one item, without the reserved attribute. */
  get(key: Item): Promise<Item | undefined>;
  /** The store's own estimate of its rows. */
  estimateRows(): Promise<number>;
}

/** Items in one leased write: DynamoDB takes 100 items a transaction, one of which is the lease. */
export const MAX_LEASED = 99;
