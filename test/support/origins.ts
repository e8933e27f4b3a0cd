import type { KeySchema } from '#lib/domain/topology.ts';
import { originOf } from '#lib/engines/dynamodb/stamp.ts';
import type { StoreChange } from '#lib/local/memory/memory-item-store.ts';
import { image, keyBytes } from './stream-records.ts';

type Row = NonNullable<StoreChange['after']>;

/** Watches the changes of a store, and holds the origin that each bears against who really made it. */
export class Origins {
  /** What the store holds, stamps and all, by the key's text. */
  readonly rows = new Map<string, Row>();
  /** Changes by appliers, in order. */
  readonly applied: StoreChange[] = [];
  /** Changes whose origin their images belie. */
  readonly mistaken: { readonly madeBy: string; readonly change: StoreChange }[] = [];
  readonly #key: KeySchema;
  #writer: 'applied' | 'local' = 'applied';

  constructor(key: KeySchema) {
    this.#key = key;
  }

  readonly onChange = (change: StoreChange): void => {
    const { before, after } = change;
    const { item } = (after ?? before)!;
    if (after === undefined) this.rows.delete(nameOf(item));
    else this.rows.set(nameOf(item), after);
    if (this.#writer === 'applied') this.applied.push(change);
    const origin = originOf(keyBytes(this.#key, item), before && image(before), after && image(after));
    if (origin !== this.#writer) this.mistaken.push({ madeBy: this.#writer, change });
  };

  /** Runs a write by an application. */
  locally(write: () => void): void {
    this.#writer = 'local';
    write();
    this.#writer = 'applied';
  }

  /** Begins anew with what the store holds now. */
  forget(): void {
    this.applied.length = 0;
    this.mistaken.length = 0;
  }
}

function nameOf(item: Row['item']): string {
  const pk = item.pk!;
  return 'S' in pk ? pk.S : JSON.stringify(pk);
}
