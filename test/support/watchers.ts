import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import type { StoreLease, Workflow } from '#lib/ports/sentinel-ports.ts';
import { Sentinel, type SentinelDeps } from '#lib/usecases/control/sentinel.ts';
import type { FailoverGroup } from './failover-group.ts';
import { never } from './intercepted-log.ts';
import { GROUP } from './log-history.ts';

/** How far a store's own clock is from everybody else's, ms. */
export const STORE_CLOCK_OFF = -86_400_000;

/** A sentinel in each Region of a group, in turns, with links between Regions that can be cut one way. */
export class Watchers {
  readonly group: FailoverGroup;
  readonly sentinels = new Map<RegionId, Sentinel>();
  /** Failovers that were started, with the Region that did. */
  readonly runs: { readonly by: RegionId; readonly input: FailoverInput }[] = [];
  /** Regions whose sentinel does not run. */
  readonly asleep = new Set<RegionId>();
  /** Regions that reach no acceptor, not even their own: so it is under MRSC for one that is cut off. */
  readonly blind = new Set<RegionId>();
  /** How much a Region's wall clock is off, ms. */
  readonly wallOff = new Map<RegionId, number>();
  /** How long a write through the store of a Region takes, ms. */
  readonly writeMs = new Map<RegionId, number>();
  /** How long the answers of a Region's acceptor take, ms. */
  readonly answerMs = new Map<RegionId, number>();
  /** What stores were told of their leases, when, and how long the sentinel held one by its own count, steady ms. */
  readonly storeLeases: {
    readonly lease: StoreLease | undefined;
    readonly atMs: number;
    readonly lentUntilMs: number;
  }[] = [];
  /** What a leader does without a lease. */
  onLeaseLost: 'fence' | 'continue' = 'fence';
  /** What a sentinel hears of an election to come. */
  hasCandidate: () => Promise<boolean> = async () => true;
  /** What the store of a Region needs before it leads. */
  makeReady: (region: RegionId, epoch: Epoch) => Promise<void> = async () => {};
  /** How a Region brings its store up to its log by itself, if it does. */
  drain:
    | ((region: RegionId, mayGoOn: () => boolean) => Promise<{ readonly state: ApplyState } | undefined>)
    | undefined;
  /** Called before a Region casts its own vote. */
  beforeVote: (region: RegionId) => Promise<void> = async () => {};
  /** Called when a beat is about to arrive in a Region. */
  beforeBeat: (from: RegionId, at: RegionId) => Promise<void> = async () => {};
  readonly #cuts = new Set<string>();

  constructor(group: FailoverGroup) {
    this.group = group;
    for (const region of group.members) this.restart(region);
  }

  /** A new process: it remembers nothing. */
  restart(region: RegionId): void {
    this.sentinels.set(region, new Sentinel(this.#deps(region)));
  }

  /** What `from` sends to any of `to` is lost from now on. */
  cut(from: RegionId, ...to: readonly RegionId[]): void {
    for (const at of to) this.#cuts.add(`${from} ${at}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** All look in turn, again and again, for `ms`. */
  async pass(ms: number): Promise<void> {
    const { scheduler, profile } = this.group;
    const end = scheduler.now() + ms;
    while (scheduler.now() < end) {
      const next = scheduler.now() + profile.lookMs;
      for (const [region, sentinel] of this.sentinels) {
        if (this.asleep.has(region)) continue;
        const look = sentinel.tick();
        await this.group.run(this.blind.has(region) ? look.catch(() => {}) : look);
      }
      if (scheduler.now() < next) scheduler.advance(next - scheduler.now());
      await new Promise(setImmediate);
    }
  }

  /** Passes time until `isSo`, at most `ms`; the time it took. */
  async until(isSo: () => boolean | Promise<boolean>, ms = 30_000): Promise<number> {
    const begun = this.group.scheduler.now();
    while (!(await isSo())) {
      if (this.group.scheduler.now() - begun > ms) throw new Error(`it was not so within ${ms} ms`);
      await this.pass(1);
    }
    return this.group.scheduler.now() - begun;
  }

  async vote(region: RegionId): Promise<number | undefined> {
    return (await this.group.acceptor(region).read()).vote;
  }

  async counter(region: RegionId): Promise<number> {
    return (await this.group.acceptor(region).read()).beat?.counter ?? 0;
  }

  leaseLeftMs(region: RegionId): number {
    return this.sentinels.get(region)!.leaseLeftMs;
  }

  events(kind: string): number {
    return this.group.telemetry.kinds().filter((each) => each === kind).length;
  }

  #deps(region: RegionId): SentinelDeps {
    const { group } = this;
    const register = group.registerDeps(region);
    const witness = group.config.witnesses.includes(region);
    const isCut = (at: RegionId) => this.#cuts.has(`${region} ${at}`);
    return {
      ...register,
      acceptors: { members: group.members, of: (at) => this.#acceptor(region, at, isCut) },
      clock: {
        now: () => group.now() + (this.wallOff.get(region) ?? 0),
        steadyMs: () => group.scheduler.now(),
      },
      group: GROUP,
      profile: group.profile,
      // A witness votes, and has neither a data path to tell nor a workflow.
      ...(!witness && {
        control: group.control(region),
        workflow: this.#workflow(region),
        hasCandidate: () => this.hasCandidate(),
      }),
      log: group.own(region),
      writePath: {
        canary: async (at, lease) => {
          if (isCut(at)) return never;
          const lentUntilMs = group.scheduler.now() + this.leaseLeftMs(region);
          const ms = this.writeMs.get(at) ?? 0;
          if (ms > 0) await group.sleep(ms);
          await group.writePath.canary(at);
          if (at === region) this.storeLeases.push({ lease, atMs: group.scheduler.now(), lentUntilMs });
          return group.scheduler.now() + STORE_CLOCK_OFF;
        },
      },
      fence: group.fenceAt(region),
      makeReady: (epoch) => this.makeReady(region, epoch),
      ...(!witness && { drain: async (mayGoOn) => this.drain?.(region, mayGoOn) }),
      countsWrites: this.onLeaseLost === 'fence',
      onLeaseLost: this.onLeaseLost,
      telemetry: group.telemetry,
    };
  }

  #workflow(region: RegionId): Workflow {
    return {
      start: async (input) => {
        if (this.runs.some((each) => each.input.run === input.run)) return 'exists';
        this.runs.push({ by: region, input });
        return 'started';
      },
    };
  }

  #acceptor(from: RegionId, at: RegionId, isCut: (at: RegionId) => boolean): AcceptorStore {
    const target = this.group.acceptor(at);
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...parameters: unknown[]) => {
          if (this.blind.has(from)) throw new Error(`${from} is cut off`);
          if (isCut(at) || this.group.lost.has(at)) return never;
          if (name === 'vote' && from === at) await this.beforeVote(at);
          if (name === 'beat') await this.beforeBeat(from, at);
          const answer: unknown = await member.apply(target, parameters);
          const ms = from === at ? 0 : (this.answerMs.get(at) ?? 0);
          if (ms > 0) await this.group.sleep(ms);
          return answer;
        };
      },
    });
  }
}
