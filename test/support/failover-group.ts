import { BALLOT_ZERO, ballotAfter } from '#lib/domain/control/acceptor.ts';
import type { Plan, PlanRequest } from '#lib/domain/control/plan.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import type { Survey } from '#lib/domain/control/survey.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { membersOf } from '#lib/domain/topology.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import type { StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import { MemoryAlarms } from '#lib/local/memory/memory-alarms.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryHistory } from '#lib/local/memory/memory-history.ts';
import { MemoryItemStore } from '#lib/local/memory/memory-item-store.ts';
import { MemoryLeaderRecord } from '#lib/local/memory/memory-leader-record.ts';
import { MemoryVantages } from '#lib/local/memory/memory-vantages.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';
import type { EngineFence, WritePath } from '#lib/ports/sentinel-ports.ts';
import { capture } from '#lib/usecases/capture.ts';
import type { FailoverDeps } from '#lib/usecases/control/failover-deps.ts';
import { planGroup } from '#lib/usecases/control/plan-group.ts';
import { surveyGroup } from '#lib/usecases/control/survey.ts';
import { ManualScheduler } from '../local/manual-scheduler.ts';
import { never } from './intercepted-log.ts';
import { E1, GROUP } from './log-history.ts';
import { ReplicatedGroup } from './replicated-group.ts';
import { image, PK, streamRecord } from './stream-records.ts';

/** When a test begins, Unix ms. */
const START = 1_800_000_000_000;

/** How long work may take that waits for no time, real ms: segments are unpacked on other threads. */
const IDLE_MS = 2_000;

const targetsOf = (named: string | undefined) => (named === undefined ? [] : [named]);

/** What DNS names while a Region leads. */
export function targetOf(region: RegionId): string {
  return `${region}.example.internal`;
}

/** A group with its control core, in memory and in a time that tests move. Regions can be lost, and come back. */
export class FailoverGroup extends ReplicatedGroup {
  readonly scheduler = new ManualScheduler();
  readonly record: MemoryLeaderRecord;
  readonly history = new MemoryHistory();
  /** Regions that answer nothing: whatever is asked of them hangs. */
  readonly lost = new Set<RegionId>();
  /** Regions whose store refuses writes. */
  readonly broken = new Set<RegionId>();
  /** The epoch for which a Region's engine fence is up. */
  readonly fences = new Map<RegionId, Epoch>();
  readonly noFailover = new Set<RegionId>();
  readonly priorities = new Map<RegionId, number>();
  readonly divergences = new Map<RegionId, MemoryDivergences>();
  readonly alarms = new Map<RegionId, AlarmStates>();
  profile: Profile = PROFILES.fast;
  /** Does a Region's capture run as soon as something is written there? */
  capturing = true;
  /** The shards of a Region's stream that no other follows, and into which of all a key comes. */
  shards: readonly string[] = ['shard'];
  shardOf: (key: string) => string = () => 'shard';
  /** Shards that capture does not come to. */
  readonly stuck = new Set<string>();
  readonly #acceptors = new Map<RegionId, MemoryAcceptor>();
  readonly #tables = new Map<RegionId, MemoryItemStore>();
  readonly #streams = new Map<RegionId, Map<string, StreamRecord[]>>();
  #sequence = 0;
  #chance = 0;

  constructor(regions: readonly RegionId[], witnesses: readonly RegionId[] = []) {
    super(
      regions.map((name) => ({ name })),
      witnesses,
    );
    this.record = new MemoryLeaderRecord({ inventory: regions.map(targetOf) });
    for (const region of this.members) this.#acceptors.set(region, new MemoryAcceptor());
    for (const region of regions) {
      this.divergences.set(region, new MemoryDivergences());
      this.alarms.set(region, new MemoryAlarms());
    }
  }

  get members(): readonly RegionId[] {
    return membersOf(this.config);
  }

  now(): number {
    return START + this.scheduler.now();
  }

  acceptor(region: RegionId): MemoryAcceptor {
    return this.#acceptors.get(region)!;
  }

  /** The control table of a Region is lost, and made anew. */
  forget(region: RegionId): void {
    this.#acceptors.set(region, new MemoryAcceptor());
  }

  /** Gives the group its first leader: register, roles and DNS. */
  async found(leader: RegionId, given: Partial<Register> = {}): Promise<this> {
    const ballot = ballotAfter(BALLOT_ZERO, leader, 'first');
    const value = { ...founded(leader, E1, 'first'), ...given };
    for (const region of this.members) await this.acceptor(region).join(ballot, value);
    await this.lead(leader);
    await this.record.flip(undefined, { epoch: E1, target: targetOf(leader) });
    this.record.settle();
    return this;
  }

  /** Regions withdraw their grant from an epoch. */
  async vote(epoch: Epoch, ...regions: readonly RegionId[]): Promise<void> {
    for (const region of regions) await this.acceptor(region).vote(epoch, 'over');
  }

  /** The register as the acceptors that answer have it. */
  async registers(): Promise<readonly (Register | undefined)[]> {
    const items = this.members
      .filter((region) => !this.lost.has(region))
      .map((at) => this.acceptor(at).read());
    return (await Promise.all(items)).map(({ accepted }) => accepted?.value);
  }

  /** Runs `work` to its end, and moves time whenever it waits for nothing else. */
  async run<T>(work: Promise<T>): Promise<T> {
    let over = false;
    const settled = work.finally(() => {
      over = true;
    });
    settled.catch(() => {});
    let idleSince = performance.now();
    for (;;) {
      await new Promise(setImmediate);
      if (over) return settled;
      const at = this.scheduler.nextAt;
      if (at !== undefined) {
        this.scheduler.advance(at - this.scheduler.now());
        idleSince = performance.now();
      } else if (performance.now() - idleSince > IDLE_MS)
        throw new Error('it waits for what will never come');
    }
  }

  /** Resolves after `ms` of the test's time. */
  readonly sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => this.scheduler.after(ms, () => resolve()));

  readonly clock = { now: () => this.now(), steadyMs: () => this.scheduler.now() };

  /** What it takes to change the register, from a Region. */
  registerDeps(region: RegionId) {
    return {
      region,
      acceptors: { members: this.members, of: (at: RegionId) => this.reach(at, this.acceptor(at)) },
      chance: () => `${++this.#chance}`,
      random: () => 0.5,
      sleep: this.sleep,
      clock: this.clock,
    };
  }

  /** What the steps of a failover work with, run by a coordinator in `region`. */
  failoverDeps(region: RegionId): FailoverDeps {
    return {
      ...this.registerDeps(region),
      group: this.config,
      profile: this.profile,
      peers: {
        log: (at) => this.reach(at, this.log(at)),
        control: (at) => this.reach(at, this.control(at)),
      },
      storeOf: (at, leader) => this.replica(at, leader),
      writePath: this.writePath,
      stream: this.stream(region),
      fenceOf: (at) => this.reach(at, this.fenceAt(at)),
      record: this.record,
      vantages: new MemoryVantages(() => new Map([['dns', targetsOf(this.record.served?.target)]])),
      targetOf,
      rules: {
        priorityOf: (at) => this.priorities.get(at) ?? 0,
        noFailover: (at) => this.noFailover.has(at),
      },
      alarmsOf: (at) => this.alarms.get(at)!,
      history: this.history,
      telemetry: this.telemetry,
    };
  }

  /** What every Region, and DNS, says now, as it is asked from outside. */
  survey(): Promise<Survey> {
    return surveyGroup({
      replicas: this.config.regions.map(({ name }) => name),
      witnesses: this.config.witnesses,
      peers: {
        acceptor: (at) => this.reach(at, this.acceptor(at)),
        log: (at) => this.reach(at, this.log(at)),
        control: (at) => this.reach(at, this.control(at)),
        history: (at) => this.reach(at, this.history),
      },
      record: { name: 'orders.example.internal', of: this.record },
      clock: this.clock,
      sleep: this.sleep,
      patienceMs: 1_000,
    });
  }

  /** What a failover would do if it began now. */
  plan(request: PlanRequest = { kind: 'failover', force: false }): Promise<Plan> {
    const { engine } = this.config;
    const names = { group: GROUP, engine, logTable: 'log', controlTable: 'control', buckets: {} };
    const failover = { profile: this.profile.name, targets: {}, noFailover: [...this.noFailover] };
    const survey = () => this.survey();
    return planGroup({ config: { ...names, failover }, profile: this.profile, survey }, request);
  }

  replica(region: RegionId, leader: RegionId): DynamoReplica {
    return new DynamoReplica({
      store: this.store(region),
      leader: this.store(leader),
      control: this.control(region),
      key: PK,
    });
  }

  readonly writePath: WritePath = {
    canary: async (region) => {
      if (this.lost.has(region)) return never;
      if (this.broken.has(region)) throw new Error(`the store of ${region} refuses writes`);
      this.beat(region);
      if (this.capturing) await this.capture(region);
      return undefined;
    },
  };

  /** The stream of a Region: a shard for each name that `shardOf` gives to keys. */
  stream(region: RegionId): ChangeStream {
    return {
      newestShards: async () => this.shards.map((shard) => `${region}/${shard}`),
      beat: async (count, atMs) => {
        if (this.broken.has(region)) throw new Error(`the store of ${region} refuses writes`);
        for (let nth = 0; nth < count; nth++) this.store(region).put(heartbeatItem(PK, atMs, nth));
        if (this.capturing) await this.capture(region);
      },
      maxBeats: 64,
    };
  }

  fenceAt(region: RegionId): EngineFence {
    return {
      raise: async (epoch) => {
        this.fences.set(region, Math.max(epoch, this.fences.get(region) ?? 0) as Epoch);
        return { proven: true, detail: 'a write was refused' };
      },
      lower: async (epoch) => {
        if ((this.fences.get(region) ?? 0) > epoch) return 'fenced';
        this.fences.delete(region);
        return 'open';
      },
    };
  }

  override store(region: RegionId): MemoryItemStore {
    const store = this.#tables.get(region) ?? this.#newTable(region);
    this.#tables.set(region, store);
    return store;
  }

  override beat(region: RegionId): void {
    this.store(region).put(heartbeatItem(PK, this.now()));
  }

  /** What a Region's capture does with what its stream holds by now. A follower's is read and dropped. */
  override async capture(region: RegionId): Promise<void> {
    const engine = new DynamoCapture({ group: GROUP, table: 'orders', key: PK });
    const rejects = { put: async () => {} };
    const { control, telemetry, peers } = this.deps(region);
    const deps = { region, engine, log: peers.log(region), control, rejects, telemetry };
    const divergences = this.divergences.get(region)!;
    const streams = this.#streams.get(region) ?? new Map<string, StreamRecord[]>();
    for (const [shard, batch] of [...streams].filter(([shard]) => !this.stuck.has(shard))) {
      streams.delete(shard);
      await capture({ ...deps, divergences }, LANE_0, `${region}/${shard}`, batch);
    }
  }

  /** Brings followers up to the leader. */
  async follow(...regions: readonly RegionId[]): Promise<void> {
    for (const region of regions) {
      await this.pull(region);
      await this.apply(region);
    }
  }

  /** `target` as it is reached from elsewhere. */
  reach<T extends object>(region: RegionId, target: T): T {
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return (...parameters: unknown[]) =>
          this.lost.has(region) ? never : (member.apply(target, parameters) as unknown);
      },
    });
  }

  #newTable(region: RegionId): MemoryItemStore {
    return new MemoryItemStore({
      keyNames: ['pk'],
      pageSize: 3,
      holds: (lease) => this.control(region).holds(lease),
      onChange: ({ before, after }) => {
        const record = streamRecord(PK, ++this.#sequence, before && image(before), after && image(after));
        const dynamodb = { ...record.dynamodb, ApproximateCreationDateTime: Math.floor(this.now() / 1000) };
        const streams = this.#streams.get(region) ?? new Map<string, StreamRecord[]>();
        const { pk } = dynamodb.Keys!;
        const shard = this.shardOf((pk as { readonly S: string }).S);
        this.#streams.set(
          region,
          streams.set(shard, [...(streams.get(shard) ?? []), { ...record, dynamodb }]),
        );
      },
    });
  }
}
