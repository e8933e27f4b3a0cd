import type { Item } from '#lib/domain/attribute-value.ts';
import type { Head } from '#lib/domain/log.ts';
import { lastOf } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { coalesce, type KeyWrite, lsnOf } from '#lib/engines/dynamodb/coalesce.ts';
import { copyChunk, settle, sweepChunk } from '#lib/engines/dynamodb/snapshot.ts';
import { stampOf } from '#lib/engines/dynamodb/stamp.ts';
import type { ApplyLease, ApplyState, Control } from '#lib/ports/control.ts';
import { type ItemStore, MAX_LEASED, type StampedItem } from '#lib/ports/item-store.ts';
import type { ApplyOutcome, PlacedSegment, ReplicaStore } from '#lib/ports/replica-store.ts';

/** Conditional writes in flight at a time. */
const IN_FLIGHT = 32;

/**
 * A DynamoDB table as a replica. Each write is conditional on the stamp that the item bears, and where there
 * is no stamp to compare with, on the applier's lease; so a run can be applied twice, or late, with no effect.
 */
export class DynamoReplica implements ReplicaStore {
  readonly #store: ItemStore;
  readonly #control: Pick<Control, 'saveApplyState'>;
  readonly #leader: ItemStore;
  readonly #key: KeySchema;

  /** @param leader the leader's table, read by snapshots only. */
  constructor(deps: {
    store: ItemStore;
    control: Pick<Control, 'saveApplyState'>;
    leader: ItemStore;
    key: KeySchema;
  }) {
    this.#store = deps.store;
    this.#control = deps.control;
    this.#leader = deps.leader;
    this.#key = deps.key;
  }

  async apply(lease: ApplyLease, state: ApplyState, run: readonly PlacedSegment[]): Promise<ApplyOutcome> {
    const last = run.at(-1)?.entry;
    if (last === undefined) return { kind: 'applied', state };
    if (!(await this.#write(lease, coalesce(run)))) return { kind: 'lost' };
    const applied = {
      lsn: lastOf(last),
      epoch: last.epoch,
      totalBytes: last.totalBytes,
      commitMs: Math.max(state.applied?.commitMs ?? 0, ...run.map(({ entry }) => entry.maxCommitMs)),
    };
    return this.#save(lease, { ...state, applied });
  }

  async beginSnapshot(lease: ApplyLease, at: Head): Promise<ApplyOutcome> {
    return this.#save(lease, {
      applied: {
        lsn: at.lastLsn,
        epoch: at.lastEpoch,
        totalBytes: at.totalBytes,
        commitMs: at.lastCommitMs,
      },
      snapshot: {
        phase: 'copy',
        startLsn: at.lastLsn,
        startEpoch: at.lastEpoch,
        rowsCopied: 0,
        rowsEstimated: await this.#leader.estimateRows(),
      },
    });
  }

  async stepSnapshot(lease: ApplyLease, state: ApplyState, at: Head): Promise<ApplyOutcome> {
    const { snapshot, ...rest } = state;
    if (snapshot === undefined) return { kind: 'applied', state };
    const deps = { leader: this.#leader, store: this.#store, key: this.#key };
    const steps = { copy: copyChunk, sweep: sweepChunk, settle };
    const next = await steps[snapshot.phase](deps, lease, snapshot, at);
    if (next === 'lost') return { kind: 'lost' };
    return this.#save(lease, next === 'done' ? rest : { ...rest, snapshot: next });
  }

  /**
   * Puts keys back to what they were: `item` undefined for a key that was not there. The stamp (epoch, LSN) must be
   * above all that the store may bear for them, and below whatever is to be applied next.
   */
  async restore(
    lease: ApplyLease,
    rows: readonly { readonly key: Item; readonly keyBytes: Uint8Array; readonly item: Item | undefined }[],
    at: { readonly epoch: Epoch; readonly lsn: Lsn },
  ): Promise<'done' | 'lost'> {
    const puts = rows.flatMap(({ item, keyBytes }) =>
      item === undefined ? [] : [{ item, stamp: stampOf(at.epoch, at.lsn, keyBytes) }],
    );
    for (let i = 0; i < puts.length; i += MAX_LEASED) {
      if ((await this.#store.putLeased(puts.slice(i, i + MAX_LEASED), lease)) === 'lost') return 'lost';
    }
    let held = true;
    const gone = rows.filter(({ item }) => item === undefined);
    await eachOf(gone, async ({ key, keyBytes }) => {
      const mark = stampOf(at.epoch, at.lsn, keyBytes, true);
      if (held && !(await this.#remove(lease, key, mark))) held = false;
    });
    return held ? 'done' : 'lost';
  }

  async #save(lease: ApplyLease, state: ApplyState): Promise<ApplyOutcome> {
    const saved = await this.#control.saveApplyState(lease, state);
    return saved === 'saved' ? { kind: 'applied', state } : { kind: 'lost' };
  }

  /** True once every write has taken effect or was found superseded; false if the lease is lost. */
  async #write(lease: ApplyLease, writes: readonly KeyWrite[]): Promise<boolean> {
    const leased: StampedItem[] = [];
    const replaced: StampedItem[] = [];
    const deleted: KeyWrite[] = [];
    for (const write of writes) {
      if (write.after === undefined) deleted.push(write);
      else (write.fresh ? leased : replaced).push(this.#stamped(write, write.after));
    }
    let held = true;
    const replace = async (write: StampedItem) => {
      const outcome = await this.#store.replace(write);
      if (outcome === 'unstamped' || outcome === 'absent') leased.push(write);
    };
    const remove = async (write: KeyWrite) => {
      if (held && !(await this.#delete(lease, write))) held = false;
    };
    await eachOf(replaced, replace);
    await eachOf(deleted, remove);
    for (let i = 0; held && i < leased.length; i += MAX_LEASED) {
      held = (await this.#store.putLeased(leased.slice(i, i + MAX_LEASED), lease)) === 'done';
    }
    return held;
  }

  #stamped(write: KeyWrite, after: Uint8Array): StampedItem {
    return {
      item: write.decoder.item(after),
      stamp: stampOf(write.epoch, lsnOf(write), write.key),
    };
  }

  /** Marks, then deletes: the mark tells capture in this Region that the delete is an applied one. */
  async #delete(lease: ApplyLease, write: KeyWrite): Promise<boolean> {
    return this.#remove(lease, this.#keyOf(write), stampOf(write.epoch, lsnOf(write), write.key, true));
  }

  async #remove(lease: ApplyLease, key: Item, mark: Uint8Array): Promise<boolean> {
    const marked = await this.#store.markDeleted(key, mark);
    if (marked === 'absent') return true;
    if (marked === 'unstamped' && (await this.#store.markDeletedLeased(key, mark, lease)) === 'lost')
      return false;
    await this.#store.removeMarked(key, mark);
    return true;
  }

  #keyOf(write: KeyWrite): Item {
    return write.decoder.key(write.key, this.#key);
  }
}

/** Runs `work` for each of `items`, at most IN_FLIGHT at a time; fails with the first failure. */
async function eachOf<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, items.length) }, lane));
}
