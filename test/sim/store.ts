import { hash as digest } from 'node:crypto';
import type { DivergentItem } from '#lib/domain/control/divergence.ts';
import type { Proof } from '#lib/domain/control/fence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import type { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { EncodedBatch } from '#lib/ports/capture-engine.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';
import type { ApplyOutcome, PlacedSegment } from '#lib/ports/replica-store.ts';
import type { Monitor } from './monitor.ts';

/** A change that somebody made in a store. */
export type Local = {
  /** Where it is in the stream: no two changes of any store have one number. */
  readonly uid: number;
  /** Of the write that an application made; 0 for a canary. */
  readonly id: number;
  /** By the clock of its Region. */
  readonly commitMs: number;
  /** By true time. */
  readonly atMs: number;
  /** Its transaction: `size` changes from `first` on, all or none of which anybody may see. */
  readonly first: number;
  readonly size: number;
};

/** What a store holds: how many times each change was made to it. Once is right. */
export class Table {
  readonly times = new Map<number, number>();
  /** Grows with each change of the table. */
  version = 0;

  add(uid: number): void {
    this.times.set(uid, (this.times.get(uid) ?? 0) + 1);
    this.version += 1;
  }

  delete(uid: number): void {
    if (this.times.delete(uid)) this.version += 1;
  }

  replace(uids: Iterable<number>): void {
    this.times.clear();
    for (const uid of uids) this.times.set(uid, 1);
    this.version += 1;
  }
}

type Deps = {
  readonly region: RegionId;
  readonly control: MemoryControl;
  readonly monitor: Monitor;
  readonly wall: () => number;
  /** Gives numbers to so many changes, and says the first. */
  readonly number: (changes: number) => number;
  readonly now: () => number;
  readonly onWrite: () => void;
};

/**
 * The data's store of a Region, as small as the control path needs it: a stream of local changes in transactions, and a
 * position that moves in one step with the rows.
 */
export class SimStore {
  readonly region: RegionId;
  readonly table = new Table();
  readonly #deps: Deps;
  #fenced: Epoch | undefined;
  /** The newest epoch whose leader has lowered the fence. */
  #opened = 0;
  /** The lease that was taken last. */
  newestLease: ApplyLease | undefined;
  /** Local changes that no capture has dealt with yet. */
  pending: Local[] = [];

  constructor(deps: Deps) {
    this.region = deps.region;
    this.#deps = deps;
  }

  get fenced(): boolean {
    return this.#fenced !== undefined;
  }

  /** One transaction. */
  async write(ids: readonly number[]): Promise<void> {
    if (this.#fenced !== undefined) throw new Error('the store refuses writes');
    this.#commit(ids);
  }

  async canary(): Promise<undefined> {
    this.#commit([0]);
  }

  #commit(ids: readonly number[]): void {
    const { now, number, onWrite, wall } = this.#deps;
    const size = ids.length;
    const first = number(size);
    for (const [index, id] of ids.entries()) {
      const change = { uid: first + index, id, commitMs: wall(), atMs: now(), first, size };
      if (id > 0) this.table.add(change.uid);
      this.pending.push(change);
    }
    onWrite();
  }

  async raise(epoch: Epoch): Promise<Proof> {
    // A call of an epoch that is over, however late: the store has been opened to a later one.
    if (epoch >= this.#opened && (this.#fenced ?? -1) < epoch) this.#fenced = epoch;
    return { proven: this.#fenced !== undefined, detail: 'the store refuses writes' };
  }

  async lower(epoch: Epoch): Promise<'open' | 'fenced'> {
    if (epoch < this.#opened) return this.#fenced === undefined ? 'open' : 'fenced';
    this.#opened = epoch;
    if (this.#fenced !== undefined && this.#fenced <= epoch) this.#fenced = undefined;
    return this.#fenced === undefined ? 'open' : 'fenced';
  }

  async apply(lease: ApplyLease, state: ApplyState, run: readonly PlacedSegment[]): Promise<ApplyOutcome> {
    const { control, monitor } = this.#deps;
    if (!control.holds(lease)) return { kind: 'lost' };
    const { applied } = await control.applyState(LANE_0);
    const last = run.at(-1)?.entry;
    if (last === undefined || (applied !== undefined && lastOf(last) <= applied.lsn)) {
      return { kind: 'applied', state: applied === undefined ? state : { ...state, applied } };
    }
    for (const { entry } of run) {
      const changes = monitor.log.changes.get(entry.hash) ?? [];
      for (const [index, { id, uid }] of changes.slice(0, entry.count).entries()) {
        if (id > 0 && entry.first + BigInt(index) > (applied?.lsn ?? 0n)) this.table.add(uid);
      }
    }
    const next: ApplyState = {
      ...state,
      applied: {
        lsn: lastOf(last),
        epoch: last.epoch,
        totalBytes: last.totalBytes,
        commitMs: Math.max(applied?.commitMs ?? 0, last.maxCommitMs),
      },
    };
    return this.#save(lease, next);
  }

  /** The copy is made at once; what is left of it for the next step is to say so. */
  async beginSnapshot(lease: ApplyLease, at: Head): Promise<ApplyOutcome> {
    const { lastLsn: lsn, lastEpoch: epoch, totalBytes, lastCommitMs: commitMs } = at;
    const outcome = await this.#save(lease, {
      applied: { lsn, epoch, totalBytes, commitMs },
      snapshot: { phase: 'copy', startLsn: lsn, startEpoch: epoch, rowsCopied: 0, rowsEstimated: 1 },
    });
    if (outcome.kind === 'applied') this.table.replace(this.#deps.monitor.log.contentAt(at.chain));
    return outcome;
  }

  async stepSnapshot(lease: ApplyLease, state: ApplyState, _at: Head): Promise<ApplyOutcome> {
    const { snapshot: _, ...rest } = state;
    return this.#save(lease, rest);
  }

  async #save(lease: ApplyLease, state: ApplyState): Promise<ApplyOutcome> {
    return (await this.#deps.control.saveApplyState(lease, state)) === 'saved'
      ? { kind: 'applied', state }
      : { kind: 'lost' };
  }

  async rewind(
    lease: ApplyLease,
    changes: readonly DivergentItem[],
    _at: { readonly epoch: Epoch },
  ): Promise<'done' | 'lost'> {
    if (!this.#deps.control.holds(lease)) return 'lost';
    for (const { sequence } of changes) this.table.delete(Number(sequence));
    return 'done';
  }
}

type Content = { readonly shard: string; readonly changes: readonly Local[] };

/** Local changes as a segment, in JSON. */
export function encode(shard: string, changes: readonly Local[], monitor: Monitor): EncodedBatch {
  const last = changes.at(-1);
  if (last === undefined) return { segment: undefined, applied: 0, rejects: [] };
  const bytes = Buffer.from(JSON.stringify({ shard, changes } satisfies Content));
  const hash = digest('sha256', bytes);
  monitor.log.changes.set(hash, changes);
  return {
    segment: {
      bytes,
      draft: {
        hash,
        count: changes.length,
        bytes: bytes.length,
        minCommitMs: Math.min(...changes.map(({ commitMs }) => commitMs)),
        maxCommitMs: Math.max(...changes.map(({ commitMs }) => commitMs)),
        marks: { [shard]: { sequence: `${last.uid}`, atMs: last.commitMs, ...newestBeat(changes) } },
      },
    },
    applied: 0,
    rejects: [],
  };
}

function newestBeat(changes: readonly Local[]): { readonly beatMs?: number } {
  const beats = changes.flatMap(({ commitMs, id }) => (id === 0 ? [commitMs] : []));
  return beats.length === 0 ? {} : { beatMs: Math.max(...beats) };
}

/** The changes of a segment, without canaries. */
export function decode(bytes: Uint8Array, entry?: Entry): readonly DivergentItem[] {
  const { shard, changes } = JSON.parse(Buffer.from(bytes).toString()) as Content;
  return changes.flatMap(({ id, uid, commitMs }, ordinal): DivergentItem[] =>
    id === 0
      ? []
      : [
          {
            kind: 'insert',
            key: { id: { S: `${id}` } },
            keyBytes: Buffer.from(`${id}`),
            commitMs,
            shard,
            sequence: `${uid}`,
            ...(entry === undefined ? {} : { lsn: advance(entry.first, ordinal) }),
          },
        ],
  );
}
