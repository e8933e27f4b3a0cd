import { LeaderLease } from '#lib/client/leader-lease.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { MemoryAlarms } from '#lib/local/memory/memory-alarms.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { capture } from '#lib/usecases/capture.ts';
import type { RegisterDeps } from '#lib/usecases/control/change-register.ts';
import type { ElectResult, FailoverDeps, FailoverState } from '#lib/usecases/control/failover-deps.ts';
import { reattach } from '#lib/usecases/control/reattach.ts';
import { type RecordLook, repairRecord } from '#lib/usecases/control/repair-record.ts';
import { Sentinel, type SentinelDeps } from '#lib/usecases/control/sentinel.ts';
import { pull } from '#lib/usecases/pull.ts';
import type { SentinelLike } from './bug.ts';
import { hasCandidate, lookAhead, tellLag } from './look.ts';
import { plain } from './network.ts';
import { isLasting, type Kind, type Lasting, type Process } from './process.ts';
import { decode, encode, type Local } from './store.ts';
import { type Execution, STEPS, type StepName, type Steps, WorkflowTwin } from './workflow-twin.ts';
import { targetOf, type World } from './world.ts';

/** How long a step may run before the service gives it up and tries again, ms. */
const STEP_MS = 60_000;

/** A CloudWatch that knows of none. */
const NO_ALARMS = new MemoryAlarms();

export type Pace = {
  /** Mean time between two writes of the application that may write, ms. */
  readonly writeMs: number;
  /** Between two looks of a follower at its log that no hint called for, ms. */
  readonly pullMs: number;
  /** That a write is the first of a burst. */
  readonly bursts: number;
};

/** What runs in a Region: processes that are started again when they die. */
export class RegionTwin {
  readonly region: RegionId;
  readonly #world: World;
  readonly #pace: Pace;
  readonly #steps: Steps;
  readonly workflow: WorkflowTwin;
  readonly processes = new Map<Process, Kind>();
  /** Oldest first: for a while there may be two. */
  readonly #sentinels = new Map<Process, SentinelLike>();
  /** Wakes the data path. */
  #hint: () => void = () => {};
  #hinted = false;

  constructor(world: World, region: RegionId, pace: Pace) {
    this.region = region;
    this.#world = world;
    this.#pace = pace;
    this.#steps = { ...STEPS, ...world.hooks.steps?.(STEPS) };
    this.workflow = new WorkflowTwin({
      invoke: (step, state) => this.#invoke(step, state),
      sleep: (ms) => world.scheduler.sleep(ms),
      random: () => world.random.next(),
      onStep: (execution, step, result) => this.#onStep(execution, step, result),
    });
  }

  start(): void {
    this.startKind('sentinel');
    if (!this.#world.site(this.region).replica) return;
    this.startKind('data');
    this.startKind('app');
  }

  /** Starts a process again, with an empty memory. */
  startKind(kind: Lasting): void {
    const process = this.#process(kind);
    if (kind === 'sentinel') this.#watch(process);
    else if (kind === 'data') this.#moveData(process);
    else this.#useLease(process);
  }

  kill(process: Process): void {
    process.kill();
    this.processes.delete(process);
    this.#sentinels.delete(process);
    if (process.kind === 'sentinel') for (const run of this.#world.site(this.region).onCrash) run();
    this.#world.trace?.(`${this.region}/${process.kind} dies`);
  }

  /** The newest process that beats and votes. */
  get sentinel(): Process | undefined {
    return [...this.#sentinels.keys()].at(-1);
  }

  /** What any of its sentinels says to be left of the Region's lease, ms. */
  get leaseLeftMs(): number {
    return Math.max(0, ...[...this.#sentinels.values()].map((each) => each.leaseLeftMs));
  }

  /** What runs twice has had its time, as an invocation has: the newest of each kind goes on. */
  endDoubles(): void {
    const newest = new Map([...this.processes].map(([process, kind]) => [kind, process]));
    for (const [process, kind] of this.processes) {
      if (isLasting(kind) && newest.get(kind) !== process) this.kill(process);
    }
  }

  hint(): void {
    this.#hinted = true;
    this.#hint();
  }

  #process(kind: Kind): Process {
    const process = this.#world.process(this.region, kind);
    this.processes.set(process, kind);
    return process;
  }

  #telemetry(process: Process): Telemetry {
    const { trace } = this.#world;
    return {
      event: (kind, fields) =>
        trace?.(`${this.region}/${process.kind} * ${kind} ${Object.entries(fields).flat().join(' ')}`),
      metrics: () => {},
    };
  }

  #registerDeps(process: Process): RegisterDeps {
    const world = this.#world;
    return {
      acceptors: world.acceptors(process),
      region: this.region,
      chance: world.hooks.chance ?? (() => world.random.word()),
      random: () => world.random.next(),
      sleep: process.sleep,
    };
  }

  #watch(process: Process): void {
    const world = this.#world;
    const store = world.store(process, this.region);
    const deps: SentinelDeps = {
      ...this.#registerDeps(process),
      group: world.group.group,
      profile: world.profile,
      countsWrites: world.countsWrites,
      clock: process.clock,
      ...(world.site(this.region).replica && { control: world.control(process, this.region) }),
      log: world.log(process, this.region),
      writePath: { canary: (region) => world.store(process, region).canary() },
      fence: { raise: (epoch) => store.raise(epoch), lower: (epoch) => store.lower(epoch) },
      // The service of the own Region: reached as its tables are. A witness has none.
      ...(world.site(this.region).replica && {
        drain: (mayGoOn) => {
          const peers = {
            log: (each: RegionId) => world.log(process, each),
            control: (each: RegionId) => world.control(process, each),
          };
          const control = peers.control(this.region);
          const telemetry = this.#telemetry(process);
          return applyLog({ region: this.region, peers, control, storeOf: () => store, telemetry }, mayGoOn);
        },
        workflow: {
          start: (input: FailoverInput) =>
            world.network.call(process, this.region, 'control', 'workflow.start', [input], () =>
              this.workflow.start(input),
            ),
        },
        hasCandidate: () => hasCandidate(world, process),
      }),
      telemetry: this.#telemetry(process),
    };
    const make = (given: SentinelDeps) => new Sentinel(given);
    const watcher = world.hooks.sentinel?.(make, deps) ?? make(deps);
    this.#sentinels.set(process, watcher);
    void loop(
      process,
      () => watcher.pauseMs ?? world.profile.lookMs,
      () => watcher.tick(),
    );
    const repairing = {
      region: this.region,
      acceptor: deps.acceptors.of(this.region),
      leaseLeftMs: () => watcher.leaseLeftMs,
      record: world.leaderRecord(process),
      targetOf,
      telemetry: deps.telemetry,
    };
    let seen: RecordLook | undefined;
    void loop(
      process,
      () => world.profile.takeoverMs,
      async () => {
        seen = await repairRecord(repairing, seen).catch(() => seen);
      },
    );
  }

  #moveData(process: Process): void {
    const world = this.#world;
    const { region } = this;
    const site = world.site(region);
    const control = world.control(process, region);
    const store = world.store(process, region);
    const divergences = world.divergences(process, region);
    const telemetry = this.#telemetry(process);
    const logs = new Map(world.replicas.map((each) => [each, world.log(process, each)]));
    const peers = {
      log: (each: RegionId) => logs.get(each)!,
      control: (each: RegionId) => world.control(process, each),
    };
    const shard = shardOf(region);
    const monitor = world.monitor;
    let since: { readonly epoch: Epoch; readonly ms: number } | undefined;

    const takeIn = async () => {
      const batch = wholeTransactions(site.store.pending, 100);
      if (batch.length === 0) return;
      await capture<Local>(
        {
          region,
          engine: {
            sequenceOf: ({ uid }) => `${uid}`,
            encode: (_, name, records) => encode(name, records, monitor),
          },
          log: peers.log(region),
          control,
          divergences,
          rejects: { put: async () => {} },
          telemetry: {
            ...telemetry,
            metrics: ({ LocalWritesAtFollower }) => {
              if (LocalWritesAtFollower !== undefined) monitor.data.reported(region, batch);
            },
          },
        },
        LANE_0,
        shard,
        batch,
      );
      // The stream's reader remembers how far it has come.
      const done = new Set(batch);
      site.store.pending = site.store.pending.filter((each) => !done.has(each));
    };
    const follow = async () => {
      const role = await control.role();
      if (role.leader === region) return;
      if (role.attached < role.epoch) {
        if (since?.epoch !== role.epoch) since = { epoch: role.epoch, ms: process.clock.now() };
        const deps = {
          region,
          log: peers.log,
          control,
          divergences,
          rewinder: { read: decode, rewind: store.rewind },
          writePath: { canary: (at: RegionId) => world.store(process, at).canary() },
          clock: process.clock,
          telemetry,
        };
        const { kind } = await reattach(world.hooks.reattach?.(deps) ?? deps, since.ms);
        if (kind === 'collecting') return;
      }
      await pull({ group: world.group, region, peers, control, telemetry });
      const until = process.clock.now() + 5_000;
      await applyLog(
        { region, peers, control, storeOf: () => store, telemetry },
        () => process.clock.now() < until,
      );
    };
    const wait = async () => {
      const woken = new Promise<void>((resolve) => {
        this.#hint = () => process.deliver(resolve);
      });
      if (this.#hinted) this.#hint();
      await Promise.race([woken, process.sleep(this.#pace.pullMs)]);
      this.#hinted = false;
      await process.sleep(world.random.between(5, 60));
    };
    void (async () => {
      for (;;) {
        await wait();
        await takeIn().catch(() => {});
        await follow().catch(() => {});
      }
    })();
  }

  /** The application of this Region: it writes while DNS names the Region and the lease that it reads runs. */
  #useLease(process: Process): void {
    const world = this.#world;
    const { region } = this;
    const store = world.store(process, region);
    const acceptor = world.acceptors(process).of(region);
    const deps = { region, acceptor, clock: process.clock, sleep: (ms: number) => process.sleep(ms) };
    const lease = world.hooks.lease?.(deps) ?? new LeaderLease(deps);
    void (async () => {
      for (;;) {
        await process.sleep(world.random.between(0.5, 1.5) * this.#pace.writeMs);
        if (world.dns.served?.target !== targetOf(region) || world.quiet) continue;
        // Now and then a burst, far above what was seen of late.
        const bursts = world.random.chance(this.#pace.bursts) ? world.random.below(400) : 1;
        const burst = world.storm === region ? 2_000 : bursts;
        for (let writes = 0; writes < burst; writes += 1) {
          try {
            const size = world.random.chance(0.1) ? 2 + world.random.below(3) : 1;
            const ids = Array.from({ length: size }, (_, index) => world.writes + 1 + index);
            world.writes += size;
            const { epoch } = await lease.write(() => store.write(ids), size);
            for (const id of ids) world.monitor.loss.acked({ id, region, epoch, atMs: world.scheduler.now });
            world.trace?.(`${region}/app writes ${ids.join(', ')} acknowledged in epoch ${epoch}`);
            world.lastAckMs = world.scheduler.now;
          } catch {
            // Refused, or of unknown outcome: nobody counts on it.
            break;
          }
        }
      }
    })();
  }

  #invoke(step: StepName, state: FailoverState): Promise<{ readonly outcome: string }> {
    const world = this.#world;
    const process = this.#process('task');
    return new Promise((resolve, reject) => {
      let over = false;
      const end = (settle: () => void) => {
        if (over) return;
        over = true;
        settle();
      };
      const run = this.#steps[step](this.failoverDeps(process), state);
      run.then(
        (result) => {
          this.processes.delete(process);
          end(() => resolve(result));
        },
        (error) => {
          this.processes.delete(process);
          world.trace?.(`${this.region}/task ${state.input.run} ${step} failed: ${String(error)}`);
          end(() => reject(error));
        },
      );
      world.scheduler.after(STEP_MS, () => {
        // Most are killed by then; one that was frozen may still go on later.
        if (!process.paused) this.kill(process);
        end(() => reject(new Error(`${step} timed out`)));
      });
    });
  }

  failoverDeps(process: Process): FailoverDeps {
    const world = this.#world;
    const rules = { priorityOf: () => 0, noFailover: (region: RegionId) => world.noFailover === region };
    return {
      ...this.#registerDeps(process),
      group: world.group,
      profile: world.profile,
      clock: process.clock,
      peers: {
        log: (region) => world.log(process, region),
        control: (region) => world.control(process, region),
      },
      storeOf: (region) => world.store(process, region),
      writePath: { canary: (region) => world.store(process, region).canary() },
      stream: {
        newestShards: async () => [shardOf(this.region)],
        beat: () => world.store(process, this.region).canary(),
        maxBeats: 1,
      },
      fenceOf: (region) => world.store(process, region),
      record: world.leaderRecord(process),
      vantages: world.vantages(process),
      targetOf,
      rules,
      alarmsOf: () => NO_ALARMS,
      history: {
        // A switchover is promoted in the step that elects: what was decided is known as soon as it is written down.
        record: async ({ outcome, run, step }) => {
          if (step === 'elect') this.#noteElection(run, outcome as ElectResult, false);
        },
        of: async () => [],
      },
      telemetry: this.#telemetry(process),
    };
  }

  #noteElection(run: string, result: ElectResult, force: boolean): void {
    if (result.outcome !== 'elected') return;
    const { candidates, rpo, winner } = result;
    const { monitor, noFailover, replicas, scheduler } = this.#world;
    const eligible =
      replicas.includes(winner) &&
      candidates.some((each) => each.region === winner && each.eligible) &&
      (noFailover !== winner || force);
    monitor.leadership.elected(run, { winner, eligible, rpo, atMs: scheduler.now });
  }

  #onStep(execution: Execution, step: StepName, result: { readonly outcome: string }): void {
    const { monitor, trace } = this.#world;
    trace?.(`${this.region}/workflow ${execution.input.run} ${step}: ${plain(result)}`);
    if (step !== 'elect' && !(step === 'handover' && result.outcome === 'handed-over')) return;
    monitor.counts.failovers += 1;
    if (step === 'elect') {
      this.#noteElection(execution.input.run, result as ElectResult, execution.input.force === true);
    }
  }

  /** Looks at the group from here. */
  look(): void {
    const process = this.#process('look');
    void Promise.all([
      lookAhead(this.#world, process).catch(() => {}),
      this.#world.site(this.region).replica && tellLag(this.#world, process).catch(() => {}),
    ]).then(() => this.processes.delete(process));
  }

  /** Starts a failover from here, as an operator does who takes the leader for lost. */
  failOver(epoch: number, nonce: number): Promise<unknown> {
    return this.workflow.start({
      group: this.#world.group.group,
      epoch: parseEpoch(epoch),
      kind: 'failover',
      run: `failover-${epoch}-${this.region}-${nonce}`,
      trigger: 'operator',
      approval: false,
    });
  }

  /** Starts a switchover from here, as an operator does. */
  switchOver(epoch: number, successor: RegionId | undefined, nonce: number): Promise<unknown> {
    const input: FailoverInput = {
      group: this.#world.group.group,
      epoch: parseEpoch(epoch),
      kind: 'switchover',
      run: `switchover-${epoch}-${nonce}`,
      trigger: 'operator',
      approval: false,
      ...(successor === undefined ? {} : { successor }),
    };
    return this.workflow.start(input);
  }
}

/** The one shard of a Region's stream. */
function shardOf(region: RegionId): string {
  return `${region}/shard`;
}

/** The next changes of a stream, some `limit`, up to the end of a transaction. */
function wholeTransactions(pending: readonly Local[], limit: number): readonly Local[] {
  let end = Math.min(limit, pending.length);
  while (end < pending.length && pending[end]!.uid !== pending[end]!.first) end += 1;
  return pending.slice(0, end);
}

/** Looks again and again, each some time after the last has ended. */
async function loop(process: Process, everyMs: () => number, look: () => Promise<void>): Promise<void> {
  for (;;) {
    await look().catch(() => {});
    await process.sleep(everyMs());
  }
}
