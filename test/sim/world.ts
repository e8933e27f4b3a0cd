import { type Acceptor, NO_ACCEPTOR } from '#lib/domain/control/acceptor.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import { MAX_DRIFT } from '#lib/domain/control/profile.ts';
import { founded, type Register } from '#lib/domain/control/register.ts';
import { LANE_0, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
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
  /** Run when a process of the Region dies. */
  readonly onCrash: (() => void)[];
};

export type WorldDeps = {
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly profile: Profile;
  readonly replicas: number;
  readonly witnesses: number;
  readonly hooks: Hooks;
  readonly trace?: Trace | undefined;
};

const NAMES = ['ap-east-1', 'eu-west-1', 'sa-east-1', 'us-east-1', 'us-west-2'];
const GROUP = 'simulated';

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
  /** Nobody writes. */
  quiet = false;
  writes = 0;
  lastAckMs = Number.NEGATIVE_INFINITY;
  noFailover: RegionId | undefined;
  /** Regions whose own item says that they lead. */
  readonly leaders = new Set<RegionId>();
  countsWrites = true;

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
      table: 'orders',
      key: [{ name: 'id', type: 'S' }],
      regions: this.replicas.map((name) => ({ name })),
    });
    this.sites = new Map(this.members.map((region) => [region, this.#site(region)]));
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
    for (const site of this.sites.values()) {
      await site.acceptor.prepare(ballot);
      await site.acceptor.accept(ballot, register);
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
    const methods = ['read', 'prepare', 'accept', 'beat', 'vote', 'unvote', 'draw'] as const;
    for (const [region, { acceptor }] of this.sites) {
      stores.set(region, remote(acceptor, methods, this.#caller(process, region, 'control', 'acceptor')));
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
    const methods = ['role', 'nameLeader', 'attach', 'applyState', 'takeLease', 'saveApplyState'] as const;
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
    return remote(this.site(region).store, methods, this.#caller(process, region, 'store', 'store'));
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
    return (name: string, args: readonly unknown[], effect: () => Promise<unknown>) =>
      this.network.call(process, region, service, `${port}.${name}`, args, effect);
  }

  #site(region: RegionId): Site {
    const { monitor, hooks } = this;
    const wall = new WallClock(this.scheduler);
    const control = new MemoryControl(region);
    const onCrash: (() => void)[] = [];
    let item = NO_ACCEPTOR;
    const sound = new MemoryAcceptor();
    const acceptor = hooks.acceptor?.(sound, (run) => onCrash.push(run)) ?? sound;
    const log = new MemoryLog(this.group.group);
    const store = new SimStore({
      region,
      control,
      monitor,
      wall: () => wall.now(),
      onWrite: () => this.onWrite(region),
    });
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
      store: hooks.store?.(store) ?? store,
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
          this.monitor.flipped(before?.epoch, to.epoch, leader);
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

function watchedAcceptor(
  inner: AcceptorStore,
  region: RegionId,
  monitor: Monitor,
  see: (item: Acceptor) => void,
): AcceptorStore {
  const seen = async <A extends { readonly acceptor: Acceptor }>(answer: Promise<A>): Promise<A> => {
    const given = await answer;
    see(given.acceptor);
    return given;
  };
  return {
    read: () => inner.read(),
    prepare: (ballot) => seen(inner.prepare(ballot)),
    beat: (beat) => seen(inner.beat(beat)),
    vote: (...call) => seen(inner.vote(...call)),
    unvote: (...call) => seen(inner.unvote(...call)),
    draw: (...call) => seen(inner.draw(...call)),
    async accept(ballot, value) {
      const answer = await seen(inner.accept(ballot, value));
      if (answer.kind === 'accepted') monitor.accepted(region, ballot, value);
      return answer;
    },
  };
}

function watchedControl(inner: Control, region: RegionId, monitor: Monitor, store: SimStore): Control {
  return {
    role: () => inner.role(),
    applyState: (lane) => inner.applyState(lane),
    saveApplyState: (lease, state) => inner.saveApplyState(lease, state),
    async takeLease(lane) {
      const taken = await inner.takeLease(lane);
      store.newestLease = taken.lease;
      return taken;
    },
    async nameLeader(next) {
      const outcome = await inner.nameLeader(next);
      if (outcome === 'named') monitor.named(region, next.epoch, next.leader);
      return outcome;
    },
    async attach(epoch) {
      const outcome = await inner.attach(epoch);
      if (outcome === 'attached') monitor.attached(region, epoch);
      return outcome;
    },
  };
}

function watchedLog(inner: ReplicaLog, region: RegionId, monitor: Monitor, onAppend: () => void): ReplicaLog {
  return {
    putSegment: (hash, bytes, at) => inner.putSegment(hash, bytes, at),
    getSegment: (hash) => inner.getSegment(hash),
    head: (lane) => inner.head(lane),
    entries: (lane, from, limit) => inner.entries(lane, from, limit),
    entryAt: (lane, lsn) => inner.entryAt(lane, lsn),
    async append(lane, expected, entries, authority) {
      const outcome = await inner.append(lane, expected, entries, authority);
      if (outcome.kind === 'appended' && !outcome.again) {
        monitor.appended(region, entries, authority);
        onAppend();
      }
      return outcome;
    },
    async seal(lane, epoch) {
      const outcome = await inner.seal(lane, epoch);
      if (outcome.kind === 'sealed') monitor.sealed(region, epoch);
      return outcome;
    },
    async rewind(lane, expected, entry) {
      const head = await inner.rewind(lane, expected, entry);
      monitor.rewound(region, head.lastLsn);
      return head;
    },
    async rebase(lane, expected, onto) {
      const before = await inner.head(lane);
      const head = await inner.rebase(lane, expected, onto);
      if (head.chain === onto.chain && head.firstLsn === onto.lastLsn + 1n && before.chain !== head.chain) {
        monitor.rebased(region, { lsn: onto.lastLsn, chain: onto.chain });
      }
      return head;
    },
  };
}

function watchedDivergences(inner: Divergences, region: RegionId, monitor: Monitor): Divergences {
  return {
    put: (hash, bytes) => inner.put(hash, bytes),
    get: (hash) => inner.get(hash),
    collect: (epoch, draft) => inner.collect(epoch, draft),
    of: (epoch) => inner.of(epoch),
    discard: (epoch, by) => inner.discard(epoch, by),
    async save(epoch, report) {
      const bytes = await inner.get(report.hash);
      const reported = monitor.reported.get(region) ?? new Set();
      for (const line of Buffer.from(bytes).toString().split('\n')) {
        if (line !== '') reported.add((JSON.parse(line) as { key: { id: { S: string } } }).key.id.S);
      }
      monitor.reported.set(region, reported);
      return inner.save(epoch, report);
    },
  };
}
