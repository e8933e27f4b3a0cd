import { hash as digest } from 'node:crypto';
import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import type { Proof } from '#lib/domain/control/fence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import type { MemoryControl } from '#lib/local/memory/memory-control.ts';
import type { EncodedBatch } from '#lib/ports/capture-engine.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';
import type { ApplyOutcome, PlacedSegment } from '#lib/ports/replica-store.ts';
import type { Monitor } from './monitor.ts';

/** A change that somebody made in a store: `id` 0 for a canary. */
export type Local = { readonly id: number; readonly sequence: string; readonly commitMs: number };

/** The data's store of a Region, as small as the control path needs it: a stream of local changes, and a position. */
export class SimStore {
  readonly region: RegionId;
  readonly #control: MemoryControl;
  readonly #monitor: Monitor;
  readonly #wall: () => number;
  readonly #onWrite: () => void;
  #sequence = 0;
  #fenced: Epoch | undefined;
  /** The newest epoch whose leader has lowered the fence. */
  #opened = 0;
  /** The lease that was taken last. */
  newestLease: ApplyLease | undefined;
  /** Local changes that no capture has dealt with yet. */
  pending: Local[] = [];

  constructor(deps: {
    region: RegionId;
    control: MemoryControl;
    monitor: Monitor;
    wall: () => number;
    onWrite: () => void;
  }) {
    this.region = deps.region;
    this.#control = deps.control;
    this.#monitor = deps.monitor;
    this.#wall = deps.wall;
    this.#onWrite = deps.onWrite;
  }

  get fenced(): boolean {
    return this.#fenced !== undefined;
  }

  async write(id: number): Promise<void> {
    if (this.#fenced !== undefined) throw new Error('the store refuses writes');
    this.#commit(id);
  }

  async canary(): Promise<void> {
    this.#commit(0);
  }

  #commit(id: number): void {
    this.#sequence += 1;
    this.pending.push({ id, sequence: `${this.#sequence}`, commitMs: this.#wall() });
    this.#onWrite();
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
    if (!this.#control.holds(lease)) return { kind: 'lost' };
    const { applied } = await this.#control.applyState(LANE_0);
    const last = run.at(-1)?.entry;
    // Nothing to do, or the same again: stamps make it have no effect.
    if (last === undefined || (applied !== undefined && lastOf(last) <= applied.lsn)) {
      return { kind: 'applied', state: applied === undefined ? state : { ...state, applied } };
    }
    const first = run[0]!.entry;
    if (applied === undefined || first.first > applied.lsn + 1n) {
      this.#monitor.violated(5, `${this.region}: LSN ${first.first} was applied on top of ${applied?.lsn}`);
    }
    const strange = run.find(({ entry }) => !this.#monitor.holds(this.region, entry));
    if (strange) {
      this.#monitor.violated(
        5,
        `${this.region}: LSN ${strange.entry.first} was applied, but is not in its log`,
      );
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

  async beginSnapshot(lease: ApplyLease, at: Head): Promise<ApplyOutcome> {
    const { lastLsn: lsn, lastEpoch: epoch, totalBytes, lastCommitMs: commitMs } = at;
    return this.#save(lease, {
      applied: { lsn, epoch, totalBytes, commitMs },
      snapshot: { phase: 'copy', startLsn: lsn, startEpoch: epoch, rowsCopied: 0, rowsEstimated: 1 },
    });
  }

  async stepSnapshot(lease: ApplyLease, state: ApplyState, _at: Head): Promise<ApplyOutcome> {
    const { snapshot: _, ...rest } = state;
    return this.#save(lease, rest);
  }

  async #save(lease: ApplyLease, state: ApplyState): Promise<ApplyOutcome> {
    return (await this.#control.saveApplyState(lease, state)) === 'saved'
      ? { kind: 'applied', state }
      : { kind: 'lost' };
  }

  async rewind(
    lease: ApplyLease,
    changes: readonly DivergentChange[],
    _at: { readonly epoch: Epoch },
  ): Promise<'done' | 'lost'> {
    if (!this.#control.holds(lease)) return 'lost';
    const reported = this.#monitor.reported.get(this.region);
    for (const { key } of changes) {
      const id = idOf(key);
      if (!reported?.has(id))
        this.#monitor.violated(11, `${this.region}: record ${id} was undone before it was reported`);
    }
    return 'done';
  }
}

function idOf(key: DivergentChange['key']): string {
  const id = key.id;
  return id !== undefined && 'S' in id ? `${id.S}` : '';
}

type Content = { readonly shard: string; readonly changes: readonly Local[] };

/** Local changes as a segment, in JSON. */
export function encode(shard: string, changes: readonly Local[], monitor: Monitor): EncodedBatch {
  const last = changes.at(-1);
  if (last === undefined) return { segment: undefined, applied: 0, rejects: [] };
  const bytes = Buffer.from(JSON.stringify({ shard, changes } satisfies Content));
  const hash = digest('sha256', bytes);
  monitor.records.set(
    hash,
    changes.map(({ id }) => id).filter((id) => id > 0),
  );
  return {
    segment: {
      bytes,
      draft: {
        hash,
        count: changes.length,
        bytes: bytes.length,
        minCommitMs: Math.min(...changes.map(({ commitMs }) => commitMs)),
        maxCommitMs: Math.max(...changes.map(({ commitMs }) => commitMs)),
        marks: { [shard]: { sequence: last.sequence, atMs: last.commitMs } },
      },
    },
    applied: 0,
    rejects: [],
  };
}

/** The changes of a segment, without canaries. */
export function decode(bytes: Uint8Array, entry?: Entry): readonly DivergentChange[] {
  const { shard, changes } = JSON.parse(Buffer.from(bytes).toString()) as Content;
  return changes.flatMap(({ id, sequence, commitMs }, ordinal): DivergentChange[] =>
    id === 0
      ? []
      : [
          {
            kind: 'insert',
            key: { id: { S: `${id}` } },
            keyBytes: Buffer.from(`${id}`),
            commitMs,
            shard,
            sequence,
            ...(entry === undefined ? {} : { lsn: advance(entry.first, ordinal) }),
          },
        ],
  );
}
