import { crc32c } from '@node-rs/crc32';
import type { Item } from '#lib/domain/attribute-value.ts';
import type { ApplyLease } from '#lib/ports/control.ts';
import type { GuardedOutcome, ItemStore, ScanPage, StampedItem } from '#lib/ports/item-store.ts';

/** A stamp begins with as many bytes that stand for its item's key. */
const KEY_BYTES = 4;

type Row = { readonly item: Item; readonly stamp: Uint8Array | undefined };

/** A change as the table's stream would show it. */
export type StoreChange = {
  readonly key: string;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
};

/** The item store in memory, in the order of keys. Twin of a DynamoDB table. */
export class MemoryItemStore implements ItemStore {
  readonly #rows = new Map<string, Row>();
  readonly #holds: (lease: ApplyLease) => boolean;
  readonly #keyNames: readonly string[];
  readonly #pageSize: number;
  readonly #onChange: (change: StoreChange) => void;

  constructor(options: {
    readonly keyNames: readonly string[];
    /** Is this lease in force? Asked in the same step as the write that depends on it. */
    readonly holds: (lease: ApplyLease) => boolean;
    readonly pageSize?: number;
    readonly onChange?: (change: StoreChange) => void;
  }) {
    this.#keyNames = options.keyNames;
    this.#holds = options.holds;
    this.#pageSize = options.pageSize ?? 100;
    this.#onChange = options.onChange ?? (() => {});
  }

  async replace({ item, stamp }: StampedItem): Promise<GuardedOutcome> {
    return this.#guarded(item, stamp, () => ({ item, stamp }));
  }

  async markDeleted(key: Item, stamp: Uint8Array): Promise<GuardedOutcome> {
    return this.#guarded(key, stamp, ({ item }) => ({ item, stamp }));
  }

  async putLeased(writes: readonly StampedItem[], lease: ApplyLease): Promise<'done' | 'lost'> {
    if (!this.#holds(lease)) return 'lost';
    for (const { item, stamp } of writes) {
      if (isEarlier(this.#row(item)?.stamp, stamp)) this.#set(item, { item, stamp });
    }
    return 'done';
  }

  async markDeletedLeased(key: Item, stamp: Uint8Array, lease: ApplyLease): Promise<'done' | 'lost'> {
    if (!this.#holds(lease)) return 'lost';
    const row = this.#row(key);
    if (row !== undefined && isEarlier(row.stamp, stamp)) this.#set(key, { item: row.item, stamp });
    return 'done';
  }

  async removeMarked(key: Item, stamp: Uint8Array): Promise<void> {
    const stored = this.#row(key)?.stamp;
    if (stored !== undefined && Buffer.compare(stored, stamp) === 0) this.#set(key, undefined);
  }

  async scan(
    cursor: string | undefined,
    part: { readonly segment: number; readonly segments: number } = { segment: 0, segments: 1 },
  ): Promise<ScanPage> {
    const keys = [...this.#rows.keys()]
      .sort()
      .filter((key) => cursor === undefined || key > cursor)
      .filter((key) => crc32c(key) % part.segments === part.segment);
    const page = keys.slice(0, this.#pageSize);
    const rows = page.map((key) => this.#rows.get(key)!);
    const last = page.at(-1);
    return last !== undefined && page.length < keys.length ? { rows, cursor: last } : { rows };
  }

  async get(key: Item): Promise<Item | undefined> {
    return this.#row(key)?.item;
  }

  async estimateRows(): Promise<number> {
    return this.#rows.size;
  }

  /** Writes as an application does: without a stamp, or with whatever stamp it read. */
  put(item: Item, stamp?: Uint8Array): void {
    this.#set(item, { item, stamp });
  }

  /** Deletes as an application does. */
  delete(key: Item): void {
    this.#set(key, undefined);
  }

  /** All items by key, for comparison. */
  contents(): ReadonlyMap<string, Item> {
    return new Map([...this.#rows].map(([key, { item }]) => [key, item]));
  }

  #guarded(key: Item, stamp: Uint8Array, next: (row: Row) => Row): GuardedOutcome {
    const row = this.#row(key);
    if (row === undefined) return 'absent';
    if (row.stamp === undefined || !isOfSameItem(row.stamp, stamp)) return 'unstamped';
    if (!isEarlier(row.stamp, stamp)) return 'superseded';
    this.#set(key, next(row));
    return 'written';
  }

  #row(key: Item): Row | undefined {
    return this.#rows.get(this.#text(key));
  }

  #set(key: Item, after: Row | undefined): void {
    const text = this.#text(key);
    const before = this.#rows.get(text);
    if (after === undefined) this.#rows.delete(text);
    else this.#rows.set(text, after);
    if (before !== undefined || after !== undefined) this.#onChange({ key: text, before, after });
  }

  #text(key: Item): string {
    return JSON.stringify(this.#keyNames.map((name) => key[name]));
  }
}

/** Both begin with the same bytes that stand for the item's key. */
function isOfSameItem(stored: Uint8Array, stamp: Uint8Array): boolean {
  return Buffer.compare(stored.subarray(0, KEY_BYTES), stamp.subarray(0, KEY_BYTES)) === 0;
}

/** What is no stamp of this item counts as none. */
function isEarlier(stored: Uint8Array | undefined, stamp: Uint8Array): boolean {
  return stored === undefined || !isOfSameItem(stored, stamp) || Buffer.compare(stored, stamp) < 0;
}
