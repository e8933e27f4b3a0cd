import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import { applyLog, type Holding } from '#lib/usecases/apply.ts';
import { capture } from '#lib/usecases/capture.ts';
import { pull } from '#lib/usecases/pull.ts';
import { GROUP } from './log-history.ts';
import { MemoryGroup } from './memory-group.ts';
import { image, n, PK, s, streamRecord } from './stream-records.ts';

/** A group with its tables: the leader's changes can be captured, pulled and applied, one step at a time. */
export class ReplicatedGroup extends MemoryGroup {
  readonly #stores = new Map<RegionId, MemoryItemStore>();
  readonly #held = new Map<RegionId, Holding>();
  #stream: StreamRecord[] = [];
  #sequence = 0;
  #beats = 0;

  store(region: RegionId): MemoryItemStore {
    const store = this.#stores.get(region) ?? this.#newStore(region);
    this.#stores.set(region, store);
    return store;
  }

  put(region: RegionId, pk: string, value: number): void {
    this.store(region).put({ pk: s(pk), value: n(value) });
  }

  /** Forgets what the stream holds: changes of a time before there was one. */
  dropStream(): void {
    this.#stream = [];
  }

  /** What the sentinel of the leader does at each tick. */
  beat(region: RegionId): void {
    this.store(region).put(heartbeatItem(PK, 1_800_000_000_000 + ++this.#beats));
  }

  /** Logs what has been written at the leader since the last call, as one segment. */
  async capture(region: RegionId): Promise<void> {
    const { control, telemetry, peers } = this.deps(region);
    const rejects = { put: async () => {} };
    const divergences = new MemoryDivergences();
    const engine = new DynamoCapture({ group: GROUP, table: 'orders', key: PK });
    const batch = this.#stream;
    this.#stream = [];
    await capture(
      { region, engine, log: peers.log(region), control, divergences, rejects, telemetry },
      LANE_0,
      'shard',
      batch,
    );
  }

  pull(region: RegionId) {
    return pull(this.deps(region));
  }

  /** One call of the applier; it goes on from the last one's holding, as one process does. */
  async apply(region: RegionId, mayGoOn: () => boolean = () => true): Promise<Holding | undefined> {
    const held = this.#held.get(region);
    this.#held.delete(region);
    const storeOf = (leader: RegionId) =>
      new DynamoReplica({
        store: this.store(region),
        leader: this.store(leader),
        control: this.control(region),
        key: PK,
      });
    const holding = await applyLog({ ...this.deps(region), storeOf }, mayGoOn, held);
    if (holding) this.#held.set(region, holding);
    return holding;
  }

  /** As if the process of the applier had ended. */
  forgetHolding(region: RegionId): void {
    this.#held.delete(region);
  }

  /** A change, a heartbeat and a full round of all Regions, which also lets a snapshot settle. */
  async round(leader: RegionId): Promise<void> {
    this.beat(leader);
    await this.capture(leader);
    for (const { name } of this.config.regions) {
      await this.pull(name);
      await this.apply(name);
    }
  }

  #newStore(region: RegionId): MemoryItemStore {
    return new MemoryItemStore({
      keyNames: ['pk'],
      pageSize: 3,
      holds: (lease) => this.control(region).holds(lease),
      onChange: ({ before, after }) => {
        const first = this.config.regions[0]!.name;
        if (region !== first) return;
        const record = streamRecord(PK, ++this.#sequence, before && image(before), after && image(after));
        // All of it happens within the second of the heartbeats.
        const dynamodb = { ...record.dynamodb, ApproximateCreationDateTime: 1_800_000_000 };
        this.#stream.push({ ...record, dynamodb });
      },
    });
  }
}
