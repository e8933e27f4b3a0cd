import fc from 'fast-check';
import { LANE_0, parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { place } from '#lib/domain/log.ts';
import { type Epoch, type Lsn, parseEpoch } from '#lib/domain/lsn.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { encodeBatch } from '#lib/engines/dynamodb/encode-batch.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { stampOf } from '#lib/engines/dynamodb/stamp.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';
import { Adversary, type Move, type Process } from './adversary.ts';
import { type Contents, itemOf } from './apply-world.ts';
import { Origins } from './origins.ts';
import { image, keyBytes, PK, s, streamRecord } from './stream-records.ts';

const GROUP = parseGroupId('orders');
const LEADER = parseRegionId('eu-west-1');
const FOLLOWER = parseRegionId('us-east-1');
export const ROWS = ['a', 'b', 'c', 'd', 'e', 'f'] as const;

/** What happens at the leader, on the way, or to the group. */
export type Happening =
  | { readonly kind: 'put'; readonly key: string; readonly value: number }
  | { readonly kind: 'delete'; readonly key: string }
  | { readonly kind: 'beat' }
  /** The records of one of two shards get into the leader's log. */
  | { readonly kind: 'capture'; readonly shard: 0 | 1 }
  /** An entry of the leader's log gets into the follower's. */
  | { readonly kind: 'relay' }
  /** All that was written gets into both logs. */
  | { readonly kind: 'ship' }
  | { readonly kind: 'epoch' };

/** A row that an older life has left at the follower: with what stamp, `back` records before the log's end. */
export type Leftover = {
  readonly key: string;
  readonly stamp: 'none' | "another key's" | 'own' | 'mark';
  readonly back: number;
};

/** A leader with an application, and a follower that takes a snapshot of it and follows its log. */
export class SnapshotWorld {
  readonly leader: MemoryItemStore;
  readonly follower: MemoryItemStore;
  readonly leaderLog = new MemoryLog(GROUP);
  readonly followerLog = new MemoryLog(GROUP);
  readonly control = new MemoryControl();
  readonly origins = new Origins(PK);
  readonly adversary: Adversary;
  /** The states that were saved, in order. */
  readonly saved: ApplyState[] = [];
  /** Positions that were saved after the snapshot while the follower held something else than the leader had there. */
  readonly torn: Lsn[] = [];
  readonly #shards: number;
  readonly #streams: StreamRecord[][] = [[], []];
  readonly #logged = new Map<string, string>();
  readonly #states = new Map<bigint, string>();
  #epoch = 1;
  #sequence = 0;
  #beats = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(options: { moves?: readonly Move[]; pageSize?: number; shards?: number } = {}) {
    const { moves = [], pageSize = 2, shards = 1 } = options;
    this.#shards = shards;
    this.adversary = new Adversary(moves);
    this.leader = new MemoryItemStore({
      keyNames: ['pk'],
      holds: () => false,
      pageSize,
      onChange: ({ before, after }) => {
        const record = streamRecord(PK, ++this.#sequence, before && image(before), after && image(after));
        this.#streams[this.#shardOf(((after ?? before)!.item.pk as { S: string }).S)]!.push(record);
      },
    });
    this.follower = new MemoryItemStore({
      keyNames: ['pk'],
      holds: (lease) => this.control.holds(lease),
      pageSize,
      onChange: this.origins.onChange,
    });
  }

  /** Rows that the leader has from before there was a log. */
  async begin(
    rows: readonly string[],
    happenings: readonly Happening[],
    leftovers: readonly Leftover[],
  ): Promise<void> {
    for (const key of rows) {
      this.leader.put(itemOf(key, 0));
      this.#logged.set(key, JSON.stringify(itemOf(key, 0)));
    }
    this.#streams.forEach((stream) => void stream.splice(0));
    this.#remember(0n);
    for (const happening of happenings) await this.happen(happening);
    const head = await this.leaderLog.head(LANE_0);
    for (const { key, stamp, back } of leftovers) {
      const lsn = head.lastLsn > back ? ((head.lastLsn - BigInt(back)) as Lsn) : (0n as Lsn);
      const own = (of: string, marked: boolean) =>
        stampOf(lsn === 0n ? (0 as Epoch) : parseEpoch(1), lsn, keyBytes(PK, { pk: s(of) }), marked);
      const stamps = {
        none: undefined,
        own: own(key, false),
        mark: own(key, true),
        "another key's": own(`not ${key}`, false),
      };
      // A row that bears the stamp of the log's last record holds what that record wrote; others hold anything.
      if (lsn === head.lastLsn && stamp === 'own') continue;
      this.follower.put(itemOf(key, 99), stamps[stamp]);
    }
    this.origins.forget();
    await this.control.nameLeader({ epoch: parseEpoch(1), leader: LEADER });
  }

  /** Lets something happen; one after another. */
  happen(happening: Happening): Promise<void> {
    this.#last = this.#last.then(() => this.#happen(happening));
    return this.#last;
  }

  /** Runs appliers until the snapshot is complete and all that the leader holds has been applied. */
  async replicate(): Promise<void> {
    await this.adversary.drive(async (process) => {
      let held: Holding | undefined;
      for (;;) {
        held = await this.#apply(process, held);
        if (await this.#isComplete()) return 'done';
        await this.happen({ kind: 'beat' });
        await this.happen({ kind: 'ship' });
        if (held === undefined) return undefined;
      }
    });
  }

  /** Without the heartbeat, which goes on. */
  contents(store: MemoryItemStore): Contents {
    const items = [...store.contents().values()].map((item) => [(item.pk as { S: string }).S, item] as const);
    return new Map(items.filter(([key]) => ROWS.some((row) => row === key)));
  }

  #apply(process: Process, held: Holding | undefined): Promise<Holding | undefined> {
    const { adversary } = this;
    const control = adversary.watched(process, this.control);
    const logs = { [LEADER]: this.leaderLog, [FOLLOWER]: this.followerLog };
    const store = new DynamoReplica({
      store: adversary.watched(process, this.follower),
      leader: adversary.watched(process, this.leader),
      control: adversary.watched(process, {
        saveApplyState: (lease: ApplyLease, state: ApplyState) => {
          if (this.control.holds(lease)) this.#check(state);
          return this.control.saveApplyState(lease, state);
        },
      }),
      key: PK,
    });
    const peers = {
      log: (region: typeof LEADER) => adversary.watched(process, logs[region]!),
      control: () => control,
    };
    const telemetry = { event: () => {}, metrics: () => {} };
    return applyLog({ region: FOLLOWER, peers, control, storeOf: () => store, telemetry }, () => true, held);
  }

  #check(state: ApplyState): void {
    const before = this.saved.at(-1);
    this.saved.push(state);
    if (state.snapshot !== undefined || state.applied === undefined) return;
    // The run after this position may have begun and been cut short.
    if (state.applied.lsn === before?.applied?.lsn) return;
    const now = [...this.contents(this.follower)].map(([key, item]) => [key, JSON.stringify(item)]);
    if (JSON.stringify(now.sort()) !== this.#states.get(state.applied.lsn)) this.torn.push(state.applied.lsn);
  }

  #remember(lsn: bigint): void {
    this.#states.set(lsn, JSON.stringify([...this.#logged].sort()));
  }

  async #happen(happening: Happening): Promise<void> {
    switch (happening.kind) {
      case 'put':
        return this.leader.put(itemOf(happening.key, happening.value));
      case 'delete':
        return this.leader.delete({ pk: s(happening.key) });
      case 'beat':
        return this.leader.put(heartbeatItem(PK, ++this.#beats));
      case 'capture':
        return this.#capture(happening.shard);
      case 'relay':
        return this.#relay(1);
      case 'ship':
        await this.#capture(0);
        await this.#capture(1);
        return this.#relay(1_000);
      case 'epoch':
        this.#epoch++;
    }
  }

  async #capture(shard: 0 | 1): Promise<void> {
    const records = this.#streams[shard]!.splice(0);
    const source = { group: GROUP, lane: LANE_0, table: 't', key: PK, shard: `${shard}` };
    const { segment } = encodeBatch(source, records);
    if (segment === undefined) return;
    const head = await this.leaderLog.head(LANE_0);
    await this.leaderLog.putSegment(segment.draft.hash, segment.bytes, head);
    const epoch = parseEpoch(this.#epoch);
    await this.leaderLog.append(LANE_0, head, [place(head, segment.draft, epoch)], epoch);
    let lsn: bigint = head.lastLsn;
    for (const { dynamodb } of records) {
      const key = (dynamodb!.Keys!.pk as { S: string }).S;
      if (ROWS.some((row) => row === key)) {
        if (dynamodb!.NewImage === undefined) this.#logged.delete(key);
        else this.#logged.set(key, JSON.stringify(dynamodb!.NewImage));
      }
      this.#remember(++lsn);
    }
  }

  async #relay(limit: number): Promise<void> {
    const head = await this.followerLog.head(LANE_0);
    const from = (head.lastLsn + 1n) as Lsn;
    const entries = await this.leaderLog.entries(LANE_0, from, limit);
    for (const { hash } of entries)
      await this.followerLog.putSegment(hash, await this.leaderLog.getSegment({ hash }), head);
    const last = entries.at(-1);
    if (last !== undefined) await this.followerLog.append(LANE_0, head, entries, last.epoch);
  }

  async #isComplete(): Promise<boolean> {
    const { applied, snapshot } = await this.control.applyState(LANE_0);
    const head = await this.leaderLog.head(LANE_0);
    return (
      snapshot === undefined &&
      applied?.lsn === head.lastLsn &&
      this.#streams.every(({ length }) => length === 0)
    );
  }

  #shardOf(key: string): number {
    return key.charCodeAt(0) % this.#shards;
  }
}

const row = fc.constantFrom(...ROWS);

export const anyHappening: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('put'), key: row, value: fc.integer({ min: 1, max: 9 }) }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete'), key: row }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'beat' }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('capture'), shard: fc.constantFrom(0, 1) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'relay' }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'ship' }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'epoch' }) },
) as fc.Arbitrary<Happening>;

export const anyLeftover: fc.Arbitrary<Leftover> = fc.record({
  key: row,
  stamp: fc.constantFrom('none', "another key's", 'own', 'mark'),
  back: fc.nat(3),
});
