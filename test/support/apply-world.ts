import fc from 'fast-check';
import type { Item } from '#lib/domain/attribute-value.ts';
import { LANE_0, parseGroupId } from '#lib/domain/ids.ts';
import { emptyHead, headAfter, lastOf, place } from '#lib/domain/log.ts';
import { LSN_ZERO, type Lsn, parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { encodeBatch } from '#lib/engines/dynamodb/encode-batch.ts';
import { isStampOf, stampOf } from '#lib/engines/dynamodb/stamp.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';
import type { PlacedSegment } from '#lib/ports/replica-store.ts';
import { Adversary, type Move, type Process } from './adversary.ts';
import { Origins } from './origins.ts';
import { keyBytes, n, PK, s, streamRecord } from './stream-records.ts';

const GROUP = parseGroupId('orders');

export const KEYS: readonly string[] = ['a', 'b', 'c', 'd'];

/** A write of the leader's application: of a value, or a delete. */
export type Op = { readonly key: string; readonly value?: number };
export type Contents = ReadonlyMap<string, Item>;

export function itemOf(key: string, value: number): Item {
  return { pk: s(key), value: n(value) };
}

/** A leader's log, and what its table held after each record of it. */
export class History {
  readonly segments: PlacedSegment[] = [];
  readonly #states: Contents[];

  /** @param batches what each segment is made of. @param epochs by how much the epoch rises before each. */
  constructor(initial: Contents, batches: readonly (readonly Op[])[], epochs: readonly number[] = []) {
    let head = emptyHead(GROUP, LANE_0);
    let contents = initial;
    this.#states = [contents];
    let epoch = 1;
    for (const [index, batch] of batches.entries()) {
      epoch += epochs[index] ?? 0;
      const records = [];
      for (const { key, value } of batch) {
        const before = contents.get(key);
        const after = value === undefined ? undefined : itemOf(key, value);
        if (before === undefined && after === undefined) continue;
        records.push(streamRecord(PK, this.#states.length, before, after));
        const next = new Map(contents);
        if (after === undefined) next.delete(key);
        else next.set(key, after);
        contents = next;
        this.#states.push(contents);
      }
      const { segment } = encodeBatch(
        { group: GROUP, lane: LANE_0, table: 't', key: PK, shard: 's' },
        records,
      );
      if (segment === undefined) continue;
      const entry = place(head, segment.draft, parseEpoch(epoch));
      head = headAfter(head, entry);
      this.segments.push({ entry, bytes: segment.bytes });
    }
  }

  stateAt(lsn: Lsn): Contents {
    return this.#states[Number(lsn)]!;
  }

  get end(): Lsn {
    const last = this.segments.at(-1);
    return last === undefined ? LSN_ZERO : lastOf(last.entry);
  }
}

/** What an item may bear at a follower before the first record of its key comes. */
export type Bears = 'own stamp' | 'no stamp' | "another key's stamp" | 'no stamp at all, but bytes';

/** What an application at a promoted replica may do to an item. */
export type LocalWrite = {
  /** keep: the stamp that was read is written back. drop: it is left out. copy: the item of `from`, stamp and all. */
  readonly kind: 'keep' | 'drop' | 'copy' | 'delete';
  readonly key: string;
  readonly from: string;
  readonly value: number;
};

/** A follower whose table holds what the leader's held at LSN 0, and the appliers that work on it. */
export class Follower {
  readonly control = new MemoryControl();
  readonly origins = new Origins(PK);
  readonly store: MemoryItemStore;
  readonly adversary: Adversary;
  /** Positions that were saved while the table held something else than the leader's at that position. */
  readonly torn: Lsn[] = [];
  readonly #history: History;
  readonly #runLength: (from: number, attempt: number) => number;
  #attempts = 0;

  /** @param runLength segments in a run that begins with segment `from`. */
  constructor(
    history: History,
    options: {
      readonly bears?: readonly Bears[];
      readonly moves?: readonly Move[];
      readonly runLength?: (from: number, attempt: number) => number;
    } = {},
  ) {
    const { bears = [], moves = [], runLength = () => 2 } = options;
    this.#history = history;
    this.#runLength = runLength;
    this.adversary = new Adversary(moves);
    this.store = new MemoryItemStore({
      keyNames: ['pk'],
      holds: (lease) => this.control.holds(lease),
      onChange: this.origins.onChange,
    });
    for (const [key, item] of history.stateAt(LSN_ZERO)) {
      this.store.put(item, stampBorne(bears[KEYS.indexOf(key)] ?? 'own stamp', key));
    }
    this.origins.forget();
  }

  contents(): Contents {
    return new Map([...this.store.contents().values()].map((item) => [(item.pk as { S: string }).S, item]));
  }

  /** Applies all of the log, with as many processes as it takes. */
  async replicate(): Promise<void> {
    await this.adversary.drive((process) => this.apply(process));
  }

  /** One process: applies run after run, until there is no more or its lease is lost. */
  async apply(process: Process): Promise<'done' | undefined> {
    const control = this.adversary.watched(process, this.control);
    const replica = new DynamoReplica({
      store: this.adversary.watched(process, this.store),
      leader: this.store,
      control: this.adversary.watched(process, {
        saveApplyState: (lease: ApplyLease, state: ApplyState) => {
          if (this.control.holds(lease)) this.#check(state.applied!.lsn);
          return this.control.saveApplyState(lease, state);
        },
      }),
      key: PK,
    });
    let { lease, state } = await control.takeLease(LANE_0);
    for (;;) {
      const run = this.#runFrom(state);
      if (run.length === 0) return 'done';
      const outcome = await replica.apply(lease, state, run);
      if (outcome.kind === 'lost') return undefined;
      state = outcome.state;
    }
  }

  /** A write of an application here, after promotion; returns what the table is to hold then. */
  writeLocally(contents: Contents, { kind, key, from, value }: LocalWrite): Contents {
    const next = new Map(contents);
    const item = itemOf(key, value);
    this.origins.locally(() => {
      if (kind === 'delete') this.store.delete({ pk: s(key) });
      else if (kind === 'drop') this.store.put(item);
      else this.store.put(item, this.#stampTaken(kind, key, from));
    });
    if (kind === 'delete') next.delete(key);
    else next.set(key, item);
    return next;
  }

  /**
   * The one thing that an application must not do: bring an item's own stamp back after the item has lost it
   * (here: copied away, and copied back). Nothing tells such a write from an applier's.
   */
  #stampTaken(kind: 'keep' | 'copy', key: string, from: string): Uint8Array | undefined {
    const own = this.origins.rows.get(key)?.stamp;
    if (kind === 'keep') return own;
    const copied = this.origins.rows.get(from)?.stamp;
    const isOwn = copied !== undefined && isStampOf(copied, keyBytes(PK, { pk: s(key) }));
    return isOwn ? own : copied;
  }

  #check(lsn: Lsn): void {
    const now = JSON.stringify([...this.contents()].sort());
    if (now !== JSON.stringify([...this.#history.stateAt(lsn)].sort())) this.torn.push(lsn);
  }

  #runFrom(state: ApplyState): readonly PlacedSegment[] {
    const { segments } = this.#history;
    const applied = state.applied?.lsn ?? LSN_ZERO;
    const from = segments.findIndex(({ entry }) => entry.first > applied);
    return from < 0 ? [] : segments.slice(from, from + this.#runLength(from, this.#attempts++));
  }
}

function stampBorne(bears: Bears, key: string): Uint8Array | undefined {
  switch (bears) {
    case 'own stamp':
      return stampOf(parseEpoch(0), LSN_ZERO, keyBytes(PK, { pk: s(key) }));
    case "another key's stamp":
      return stampOf(parseEpoch(9), parseLsn(99), keyBytes(PK, { pk: s(`not ${key}`) }));
    case 'no stamp at all, but bytes':
      return new Uint8Array([255, 255]);
    case 'no stamp':
      return undefined;
  }
}

const key = fc.constantFrom(...KEYS);

export const anyHistory: fc.Arbitrary<History> = fc
  .record({
    initial: fc.dictionary(key, fc.nat(9)),
    batches: fc.array(
      fc.array(fc.record({ key, value: fc.nat(9) }, { requiredKeys: ['key'] }), {
        minLength: 1,
        maxLength: 4,
      }),
      { minLength: 1, maxLength: 6 },
    ),
    epochs: fc.array(fc.constantFrom(0, 0, 1), { minLength: 6, maxLength: 6 }),
  })
  .map(({ initial, batches, epochs }) => {
    const items = Object.entries(initial).map(([key, value]) => [key, itemOf(key, value)] as const);
    return new History(new Map(items), batches, epochs);
  });

export const anyBears: fc.Arbitrary<readonly Bears[]> = fc.array(
  fc.constantFrom<Bears>('own stamp', 'no stamp', "another key's stamp", 'no stamp at all, but bytes'),
  { minLength: KEYS.length, maxLength: KEYS.length },
);

export const anyLocalWrite: fc.Arbitrary<LocalWrite> = fc.record({
  kind: fc.constantFrom('keep', 'drop', 'copy', 'delete'),
  key,
  from: key,
  value: fc.integer({ min: 10, max: 19 }),
});
