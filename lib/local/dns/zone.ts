import { conflicts, refusalOf } from '#lib/local/dns/record-set-rules.ts';

/** One set of a hosted zone, in Route 53's terms. `values` are as the API spells them, in order. */
export type RecordSet = {
  /** Lower case, without a trailing dot. */
  readonly name: string;
  readonly type: string;
  readonly ttl: number;
  readonly values: readonly string[];
  /** Of one of several sets of a name and type: which it is, and its part, by failover or by weight. */
  readonly setIdentifier?: string | undefined;
  readonly failover?: 'PRIMARY' | 'SECONDARY' | undefined;
  /** 0 to 255: how often it is the answer, as a share of the sum. */
  readonly weight?: number | undefined;
  readonly healthCheckId?: string | undefined;
};
export type RecordChange = { readonly action: 'CREATE' | 'DELETE' | 'UPSERT'; readonly set: RecordSet };

/** Where a set stands in a zone. */
export type RecordKey = Pick<RecordSet, 'name' | 'type' | 'setIdentifier'>;

/** Outcome of a batch: its id, or why nothing of it was done. */
export type BatchOutcome =
  | { readonly kind: 'accepted'; readonly id: string }
  | { readonly kind: 'refused'; readonly reasons: readonly string[] };

/**
 * A hosted zone: what its control plane holds, and what its servers answer with. A batch is done as a whole or not at
 * all; the servers follow one batch after the other, each `propagationMs` after it was accepted, or at `settle`.
 */
export class Zone {
  readonly apex: string;
  readonly #propagationMs: number;
  readonly #changes = new Map<string, 'PENDING' | 'INSYNC'>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #pending: { readonly id: string; readonly sets: readonly RecordSet[] }[] = [];
  #sets: readonly RecordSet[];
  #served: readonly RecordSet[];

  /** @param propagationMs Infinity: not before `settle`. */
  constructor(apex: string, propagationMs: number) {
    this.apex = apex;
    this.#propagationMs = propagationMs;
    const ns = `ns.${apex}.`;
    this.#sets = [
      { name: apex, type: 'NS', ttl: 172_800, values: [ns] },
      { name: apex, type: 'SOA', ttl: 900, values: [`${ns} hostmaster.${apex}. 1 7200 900 1209600 60`] },
    ];
    this.#served = this.#sets;
  }

  /** What the servers answer with. */
  get served(): readonly RecordSet[] {
    return this.#served;
  }

  /** What the control plane holds, from the given place on, in Route 53's order. */
  list(from: Partial<RecordKey> = {}): readonly RecordSet[] {
    const first = orderOf({ name: '', type: '', ...from });
    return this.#sets.filter((set) => orderOf(set) >= first);
  }

  change(batch: readonly RecordChange[]): BatchOutcome {
    const sets = new Map(this.#sets.map((set) => [orderOf(set), set]));
    const reasons: string[] = [];
    for (const change of batch) {
      const key = orderOf(change.set);
      const reason = refusalOf(change, sets.get(key), this.apex);
      if (reason !== undefined) reasons.push(reason);
      else if (change.action === 'DELETE') sets.delete(key);
      else sets.set(key, change.set);
    }
    const after = [...sets.keys()].sort().map((key) => sets.get(key)!);
    if (reasons.length === 0) reasons.push(...conflicts(after, this.apex));
    if (reasons.length > 0) return { kind: 'refused', reasons };
    this.#sets = after;
    return { kind: 'accepted', id: this.#propagate() };
  }

  /** Undefined for a change that there never was. */
  status(id: string): 'PENDING' | 'INSYNC' | undefined {
    return this.#changes.get(id);
  }

  /** Brings the servers in sync at once. */
  settle(): void {
    while (this.#pending.length > 0) this.#serveNext();
  }

  /** Ends what waits for its time. */
  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }

  #propagate(): string {
    const id = `C${String(this.#changes.size + 1).padStart(13, '0')}`;
    this.#changes.set(id, 'PENDING');
    this.#pending.push({ id, sets: this.#sets });
    if (this.#propagationMs === 0) this.settle();
    else if (Number.isFinite(this.#propagationMs)) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        // Unless `settle` was faster.
        while (this.#changes.get(id) === 'PENDING') this.#serveNext();
      }, this.#propagationMs);
      this.#timers.add(timer);
    }
    return id;
  }

  #serveNext(): void {
    const { id, sets } = this.#pending.shift()!;
    this.#served = sets;
    this.#changes.set(id, 'INSYNC');
  }
}

/** Text that sorts as Route 53 lists: by labels from the right, then type, then identifier. */
function orderOf({ name, type, setIdentifier = '' }: RecordKey): string {
  return [name.split('.').reverse().join('\u0001'), type, setIdentifier].join('\u0000');
}
