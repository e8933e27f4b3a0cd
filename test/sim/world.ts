import { type Acceptor, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import { MAX_DRIFT } from '#lib/domain/control/profile.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { LANE_0, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { SMALL_SEGMENT } from '#lib/domain/log.ts';
import { EPOCH_ZERO, LSN_ZERO, parseEpoch } from '#lib/domain/lsn.ts';
import { type GroupConfig, parseGroup } from '#lib/domain/topology.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryLeaderRecord } from '#lib/local/memory/memory-leader-record.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { MemoryVantages } from '#lib/local/memory/memory-vantages.ts';
import type { AcceptorStore, Acceptors } from '#lib/ports/acceptor-store.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Divergences } from '#lib/ports/divergences.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';
import type { LeaderRecord } from '#lib/ports/leader-record.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { Hooks } from './bug.ts';
import { Monitor } from './monitor.ts';
import { Network, remote, type Service, type Trace } from './network.ts';
import { type Kind, Process, WallClock } from './process.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';
import { SimStore } from './store.ts';
import {
  type DataStore,
  watchedAcceptor,
  watchedControl,
  watchedDivergences,
  watchedLog,
  watchedStore,
} from './watched.ts';

/** What a Region keeps: it outlives every process. */
export type Site = {
  readonly region: RegionId;
  readonly replica: boolean;
  readonly wall: WallClock;
  readonly acceptor: AcceptorStore;
  /** The acceptor's item as it is now. */
  readonly item: () => Acceptor;
  readonly control: Control;
  readonly log: ReplicaLog;
  readonly divergences: Divergences;
  readonly store: SimStore;
  /** The store as processes reach it. */
  readonly data: DataStore;
  /** Run when a process of the Region dies. */
  readonly onCrash: (() => void)[];
};

/** What a process asks of a Region. */
export type Call = {
  readonly process: Process;
  readonly at: RegionId;
  /** As `acceptor.beat`. */
  readonly name: string;
  readonly args: readonly unknown[];
};

export type WorldDeps = {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly profile: Profile;
  readonly replicas: number;
  readonly witnesses: number;
  /** Where logs keep segments that are small: every other Region in its entries, if `mixed`. */
  readonly segments: 'objects' | 'entries' | 'mixed';
  readonly hooks: Hooks;
  readonly trace?: Trace | undefined;
};

const NAMES = ['ap-east-1', 'eu-west-1', 'sa-east-1', 'us-east-1', 'us-west-2'];
const GROUP = 'simulated';
const ACCEPTOR = ['read', 'prepare', 'accept', 'join', 'beat', 'vote', 'unvote', 'draw'] as const;

/** Stored items of all Regions, the network between them, and the ports by which a process reaches them. */
export class World {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly profile: Profile;
  readonly hooks: Hooks;
  readonly trace: Trace | undefined;
  readonly network: Network;
  readonly monitor: Monitor;
  readonly group: GroupConfig;
  readonly members: readonly RegionId[];
  readonly replicas: readonly RegionId[];
  readonly sites: ReadonlyMap<RegionId, Site>;
  readonly record: LeaderRecord;
  readonly dns: MemoryLeaderRecord;
  /** Told of each record that is put in a log, by its Region. */
  onAppend: (region: RegionId) => void = () => {};
  onWrite: (region: RegionId) => void = () => {};
  /** May pause or kill a process that is about to go on. */
  strike: (process: Process) => void = () => {};
  /** Put around what a call does at its Region. */
  intercept: (<T>(call: Call, effect: () => Promise<T>) => Promise<T>) | undefined;
  /** Where applications write as fast as they can. */
  storm: RegionId | undefined;
  /** Nobody writes. */
  quiet = false;
  writes = 0;
  #changes = 0;
  lastAckMs = Number.NEGATIVE_INFINITY;
  noFailover: RegionId | undefined;
  /** Regions whose own item says that they lead. */
  readonly leaders = new Set<RegionId>();
  countsWrites = true;
  /** How far two clocks may be apart, ms. */
  clocksMs = 0;

  constructor(deps: WorldDeps) {
    const { scheduler, random, profile, trace } = deps;
    this.scheduler = scheduler;
    this.random = random;
    this.profile = profile;
    this.hooks = deps.hooks;
    this.trace = trace;
    this.network = new Network({
      scheduler,
      random,
      patienceMs: Math.min(30_000, 2 * profile.leaseMs),
      trace,
    });
    this.members = NAMES.slice(0, deps.replicas + deps.witnesses).map(parseRegionId);
    this.replicas = this.members.slice(0, deps.replicas);
    this.monitor = new Monitor(this.members, () => scheduler.now);
    this.group = parseGroup({
      group: GROUP,
      engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
      regions: this.replicas.map((name) => ({ name })),
    });
    this.sites = new Map(this.members.map((region) => [region, this.#site(region, deps.segments)]));
    this.dns = new MemoryLeaderRecord({ inventory: this.members.map(targetOf) });
    this.record = this.#watchedRecord(this.hooks.record?.(this.dns) ?? this.dns);
  }

  site(region: RegionId): Site {
    return this.sites.get(region)!;
  }

  /** Makes `leader` the first leader, everywhere, before the first event. */
  async found(leader: RegionId): Promise<Register> {
    const register = founded(leader, parseEpoch(1), 'found');
    const ballot = '000000000001#found#0' as Acceptor['promised'];
    const others = [...this.sites.keys()].filter((region) => region !== leader);
    for (const region of [...others, leader]) {
      const { acceptor } = this.site(region);
      await acceptor.prepare(ballot);
      await acceptor.join(ballot, register);
    }
    for (const site of this.sites.values()) {
      await site.control.nameLeader({ epoch: register.epoch, leader });
      const { lease } = await site.control.takeLease(LANE_0);
      const applied = { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 };
      await site.control.saveApplyState(lease, { applied });
    }
    await this.record.flip(undefined, { epoch: register.epoch, target: targetOf(leader) });
    this.dns.settle();
    return register;
  }

  process(region: RegionId, kind: Kind): Process {
    return new Process({
      region,
      kind,
      scheduler: this.scheduler,
      wall: this.site(region).wall,
      // As far apart as the margin is meant to stand, half of the time.
      rate: this.random.chance(0.5)
        ? 1 + (this.random.chance(0.5) ? MAX_DRIFT : -MAX_DRIFT)
        : this.random.between(1 - MAX_DRIFT, 1 + MAX_DRIFT),
      strike: (process) => this.strike(process),
    });
  }

  acceptors(process: Process): Acceptors {
    const stores = new Map<RegionId, AcceptorStore>();
    for (const [region, { acceptor }] of this.sites) {
      stores.set(region, remote(acceptor, ACCEPTOR, this.#caller(process, region, 'control', 'acceptor')));
    }
    const sound: Acceptors = { members: this.members, of: (region) => stores.get(region)! };
    return this.hooks.acceptors?.(sound, process.region) ?? sound;
  }

  log(process: Process, region: RegionId): ReplicaLog {
    const methods = [
      'putSegment',
      'getSegment',
      'head',
      'entries',
      'entryAt',
      'append',
      'seal',
      'rebase',
      'rewind',
    ] as const;
    return remote(this.site(region).log, methods, this.#caller(process, region, 'control', 'log'));
  }

  control(process: Process, region: RegionId): Control {
    const methods = [
      'role',
      'nameLeader',
      'attach',
      'applyState',
      'takeLease',
      'saveApplyState',
      'noteRewound',
    ] as const;
    return remote(this.site(region).control, methods, this.#caller(process, region, 'control', 'control'));
  }

  divergences(process: Process, region: RegionId): Divergences {
    const methods = ['put', 'get', 'collect', 'of', 'save', 'discard'] as const;
    return remote(
      this.site(region).divergences,
      methods,
      this.#caller(process, region, 'control', 'divergences'),
    );
  }

  store(process: Process, region: RegionId) {
    const methods = [
      'write',
      'canary',
      'raise',
      'lower',
      'apply',
      'beginSnapshot',
      'stepSnapshot',
      'rewind',
    ] as const;
    return remote(this.site(region).data, methods, this.#caller(process, region, 'store', 'store'));
  }

  leaderRecord(process: Process): LeaderRecord {
    return remote(
      this.record,
      ['read', 'flip', 'status'],
      this.#caller(process, process.region, 'dns', 'dns'),
    );
  }

  vantages(process: Process): DnsVantages {
    const served = () => new Map([['dns', this.dns.served ? [this.dns.served.target] : []]]);
    const caller = this.#caller(process, process.region, 'dns', 'dns');
    return remote(new MemoryVantages(served) as DnsVantages, ['ask'], caller);
  }

  #caller(process: Process, region: RegionId, service: Service, port: string) {
    return (name: string, args: readonly unknown[], effect: () => Promise<unknown>) => {
      const call = `${port}.${name}`;
      const looks = process.kind === 'look';
      const { intercept } = this;
      const sound =
        intercept === undefined ? effect : () => intercept({ process, at: region, name: call, args }, effect);
      const acts = looks ? () => this.#unchanged(region, call, effect) : sound;
      return this.network.call(process, region, service, call, args, acts);
    };
  }

  /** Who only looks changes nothing. */
  async #unchanged(region: RegionId, call: string, effect: () => Promise<unknown>): Promise<unknown> {
    const before = await this.#stateOf(region);
    try {
      return await effect();
    } finally {
      const after = await this.#stateOf(region);
      if (after.some((value, index) => value !== before[index]))
        this.monitor.violated(10, `a look at the group changed ${region} by ${call}`);
    }
  }

  /** Stored values are replaced, never changed in place: to compare them by identity is enough. */
  async #stateOf(region: RegionId): Promise<readonly unknown[]> {
    const { control, item, log, store } = this.site(region);
    const [head, role, state, record] = await Promise.all([
      log.head(LANE_0),
      control.role(),
      control.applyState(LANE_0),
      this.dns.read(),
    ]);
    const { chain, sealedEpoch, firstLsn, generation } = head;
    const rows = [store.table.version, store.pending.length];
    return [
      item(),
      role,
      state.applied,
      state.snapshot,
      record?.epoch,
      chain,
      sealedEpoch,
      firstLsn,
      generation,
      ...rows,
    ];
  }

  #site(region: RegionId, segments: WorldDeps['segments']): Site {
    const { monitor, hooks } = this;
    const wall = new WallClock(this.scheduler);
    const control = new MemoryControl(region);
    const onCrash: (() => void)[] = [];
    let item = NO_ACCEPTOR;
    const sound = new MemoryAcceptor();
    // Another group's item in the same table.
    const neighbour = remote(new MemoryAcceptor(), ACCEPTOR, (name, _, effect) => {
      monitor.violated(8, `${region}: ${name} touched an item of another group`);
      return effect();
    });
    const acceptor = hooks.acceptor?.(sound, (run) => onCrash.push(run), neighbour) ?? sound;
    const isSmall = segments === 'mixed' ? this.replicas.indexOf(region) % 2 === 1 : segments === 'entries';
    const log = new MemoryLog(this.group.group, isSmall ? SMALL_SEGMENT : 0);
    const store = new SimStore({
      region,
      control,
      monitor,
      wall: () => wall.now(),
      now: () => this.scheduler.now,
      number: (changes) => {
        this.#changes += changes;
        return this.#changes - changes + 1;
      },
      onWrite: () => this.onWrite(region),
    });
    monitor.data.watch(store);
    const brokenStore = hooks.store?.(store) ?? store;
    const brokenLog = hooks.log?.(log) ?? log;
    return {
      region,
      replica: this.replicas.includes(region),
      wall,
      acceptor: watchedAcceptor(acceptor, region, monitor, (now) => {
        item = now;
        const value = now.accepted?.value;
        if (value?.phase === 'leading' && value.leader === region) this.leaders.add(region);
        else this.leaders.delete(region);
      }),
      item: () => item,
      control: watchedControl(hooks.control?.(control) ?? control, region, monitor, store),
      log: watchedLog(brokenLog, region, monitor, () => this.onAppend(region)),
      divergences: watchedDivergences(new MemoryDivergences(), region, monitor),
      store: brokenStore,
      data: watchedStore(brokenStore, control, monitor),
      onCrash,
    };
  }

  #watchedRecord(record: LeaderRecord): LeaderRecord {
    return {
      read: () => record.read(),
      status: (change) => record.status(change),
      flip: async (from, to) => {
        const before = await this.dns.read();
        const outcome = await record.flip(from, to);
        if (outcome.kind === 'submitted') {
          const leader = this.members.find((region) => targetOf(region) === to.target);
          this.monitor.leadership.flipped(before?.epoch, to.epoch, leader);
          this.scheduler.after(this.random.between(500, 8_000), () => this.dns.settle());
        }
        return outcome;
      },
    };
  }
}

export function targetOf(region: RegionId): string {
  return `${region}.orders.example`;
}
