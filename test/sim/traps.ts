import { type Answer, type Beat, majorityOf } from '#lib/domain/control/acceptor.ts';
import { MAX_DRIFT } from '#lib/domain/control/profile.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Temper } from './faults.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';
import type { RegionTwin } from './region.ts';
import type { Call, World } from './world.ts';

/** Mean time between two traps, leases. */
const EVERY_LEASES = 4;
/** The share of the margin by which clocks may be apart that is made use of. */
const APART = 0.95;
/** As long as an answer is under way, ms. */
const ANSWER_MS = 250;

type Of = (call: Call) => boolean;

/**
 * Faults that chance alone would hardly ever put together: each is aimed at one place where a rule keeps two rare things
 * from doing harm at once. They have a random stream of their own.
 */
export class Traps {
  readonly #world: World;
  readonly #twins: ReadonlyMap<RegionId, RegionTwin>;
  readonly #temper: Temper;
  readonly #random: Random;
  #raging = false;
  #busy: Promise<void> = Promise.resolve();
  readonly #holds = new Set<{
    readonly of: Of;
    readonly arrive: () => void;
    readonly until: Promise<void>;
  }>();
  readonly #waits = new Set<{ readonly of: Of; readonly end: () => void }>();
  #isRewinding = false;

  constructor(world: World, twins: ReadonlyMap<RegionId, RegionTwin>, temper: Temper, random: Random) {
    this.#world = world;
    this.#twins = twins;
    this.#temper = temper;
    this.#random = random;
    if (temper.clocks === 'set') world.clocksMs = APART * world.profile.marginMs;
    world.intercept = (call, effect) => this.#intercept(call, effect);
  }

  begin(): void {
    this.#raging = true;
    this.#busy = this.#rage();
  }

  /** Ends once all is mended. */
  async end(): Promise<void> {
    this.#raging = false;
    await this.#busy;
  }

  async #rage(): Promise<void> {
    const { monitor, profile, scheduler } = this.#world;
    for (;;) {
      await scheduler.sleep(this.#random.exponential(EVERY_LEASES * profile.leaseMs));
      if (!this.#raging) return;
      const { register } = monitor;
      if (register?.phase !== 'leading') continue;
      const lot = this.#random.next();
      if (lot < 0.6) await this.#silence(register.leader);
      else if (lot < 0.8) await this.#rivals(register.leader);
      else await this.#twice();
    }
  }

  async #intercept<T>(call: Call, effect: () => Promise<T>): Promise<T> {
    if (call.name === 'store.rewind') await this.#rewindLate(call);
    for (const hold of this.#holds) {
      if (!hold.of(call)) continue;
      hold.arrive();
      await hold.until;
    }
    const answer = await effect();
    const { kind } = (answer ?? {}) as Partial<Answer<string>>;
    if (kind === undefined || kind === 'lent') for (const wait of this.#waits) if (wait.of(call)) wait.end();
    return answer;
  }

  /** Holds calls back when they arrive at their Region, until they are released. */
  #hold(of: Of): { readonly arrived: Promise<void>; readonly release: () => void } {
    const { promise: until, resolve } = Promise.withResolvers<void>();
    const { promise: arrived, resolve: arrive } = Promise.withResolvers<void>();
    const hold = { of, arrive, until };
    this.#holds.add(hold);
    const release = () => {
      this.#holds.delete(hold);
      resolve();
    };
    return { arrived, release };
  }

  /** Such a call has taken effect (a beat: has been lent something), or none has for a lease. */
  async #done(of: Of): Promise<void> {
    const { profile, scheduler } = this.#world;
    const { promise, resolve: end } = Promise.withResolvers<void>();
    const wait = { of, end };
    this.#waits.add(wait);
    await Promise.race([promise, scheduler.sleep(profile.leaseMs)]);
    this.#waits.delete(wait);
  }

  /**
   * The leader's Region is cut off right after a beat, until the others have voted against it. Meanwhile they may be deployed
   * anew, clocks may be set as unfavourably as they may be apart, and the application may write more than it ever has. Or it
   * comes back for one beat that overtakes the votes of some, and is cut off again.
   */
  async #silence(leader: RegionId): Promise<void> {
    const { profile, scheduler, sites, trace } = this.#world;
    const { leaseMs, lookMs, marginMs } = profile;
    const others = this.#othersThan(leader);
    const late = this.#random.chance(0.4) ? others.slice(0, majorityOf(others.length + 1) - 1) : [];
    const half = this.#temper.wallMs / 2;
    const setClocks = (ofLeader: number, ofOthers: number) => {
      if (this.#temper.clocks !== 'set') return;
      for (const [region, { wall }] of sites) wall.offsetMs = region === leader ? ofLeader : ofOthers;
    };
    setClocks(half, -half);
    await scheduler.sleep(leaseMs + marginMs);
    const votes = this.#hold(({ at, name, args }) => {
      return name === 'acceptor.vote' && typeof args[1] === 'number' && late.includes(at);
    });
    await this.#beatAt(others);
    trace?.(`-- ${leader} is silent; votes of ${late.length === 0 ? 'nobody' : late.join(', ')} are late`);
    let mend = this.#cutOff(leader, others);
    if (this.#random.chance(0.4)) for (const region of others) this.#startAnew(region);
    setClocks(-half, APART * marginMs - half);
    if (this.#random.chance(0.4)) this.#world.storm = leader;
    await scheduler.sleep((leaseMs + marginMs) * (1 + MAX_DRIFT) + this.#random.between(0.5, 2.5) * lookMs);
    this.#world.storm = undefined;
    if (late.length > 0) {
      mend();
      trace?.(`-- ${leader} is back`);
      await this.#beatAt(late);
      mend = this.#cutOff(leader, others);
      trace?.(`-- ${leader} is silent again`);
    }
    votes.release();
    await scheduler.sleep(leaseMs);
    mend();
    trace?.(`-- ${leader} is heard`);
    // A lease ends before the next jump back.
    setClocks(-half, APART * marginMs - 3 * half);
    await scheduler.sleep(leaseMs + marginMs);
    setClocks(-half, -half);
  }

  /** A beat that asks for the lease has been taken at each, and its answer has come back. */
  async #beatAt(regions: readonly RegionId[]): Promise<void> {
    const { scheduler } = this.#world;
    const beats = regions.map((region) =>
      this.#done(({ at, name, args }) => {
        return at === region && name === 'acceptor.beat' && (args[0] as Beat).leaseUntilMs > 0;
      }),
    );
    await Promise.all(beats);
    await scheduler.sleep(ANSWER_MS);
  }

  /**
   * Two sentinels of the leader's Region beat at once, as invocations that overlap. One has seen many writes and grants many;
   * the beat of the other comes between its look and its beat, and is the last that anybody else hears.
   */
  async #rivals(leader: RegionId): Promise<void> {
    const { profile, scheduler, trace } = this.#world;
    const { beatMs, leaseMs, lookMs, marginMs } = profile;
    const others = this.#othersThan(leader);
    const twin = this.#twins.get(leader)!;
    const first = twin.sentinel;
    if (first === undefined) return;
    trace?.(`-- ${leader} has two sentinels`);
    twin.startKind('sentinel');
    const second = twin.sentinel!;
    const isOwnBeat = (by?: Process) => (call: Call) =>
      call.at === leader && call.name === 'acceptor.beat' && (by === undefined || call.process === by);
    // Each knows of the writes of so long a time.
    await scheduler.sleep(marginMs + leaseMs);
    await this.#done(isOwnBeat());
    this.#world.storm = leader;
    let last: Process = first;
    await this.#done((call) => {
      if (!isOwnBeat()(call)) return false;
      last = call.process;
      return true;
    });
    await scheduler.sleep(ANSWER_MS);
    this.#world.storm = undefined;
    const [grants, other] = last === first ? [first, second] : [second, first];
    const beat = this.#hold(isOwnBeat(other));
    await Promise.race([beat.arrived, scheduler.sleep(beatMs + lookMs)]);
    const granting = this.#hold(isOwnBeat(grants));
    await Promise.race([granting.arrived, scheduler.sleep(beatMs + lookMs)]);
    beat.release();
    await this.#done(({ at, name, process }) => {
      return process === other && at === others[0] && name === 'acceptor.beat';
    });
    await scheduler.sleep(ANSWER_MS);
    trace?.(`-- ${leader} is silent`);
    const mend = this.#cutOff(leader, others);
    granting.release();
    this.#world.storm = leader;
    await scheduler.sleep(leaseMs + marginMs + 6 * lookMs);
    this.#world.storm = undefined;
    mend();
    if (twin.processes.has(first)) twin.kill(first);
    trace?.(`-- ${leader} is heard`);
  }

  /** What runs once runs twice for a while: the first is stopped, taken for dead, and wakes up beside the second. */
  async #twice(): Promise<void> {
    const { profile, replicas, scheduler, trace } = this.#world;
    const region = this.#random.pick(replicas);
    const twin = this.#twins.get(region)!;
    const kind = this.#random.pick(['sentinel', 'data'] as const);
    const first = [...twin.processes].find(([, each]) => each === kind)?.[0];
    if (first === undefined) return;
    trace?.(`-- ${region}/${kind} runs twice`);
    first.pause(false);
    twin.startKind(kind);
    await scheduler.sleep(this.#random.between(0, 0.5) * profile.leaseMs);
    first.resume();
    await scheduler.sleep(this.#random.between(0.5, 2) * profile.leaseMs);
    if (twin.processes.has(first)) twin.kill(first);
    trace?.(`-- over: ${region}/${kind} runs twice`);
  }

  /** What a re-attachment takes back arrives after another has begun. */
  async #rewindLate({ at, process }: Call): Promise<void> {
    if (!this.#raging || this.#isRewinding || this.#random.chance(0.3)) return;
    this.#isRewinding = true;
    const twin = this.#twins.get(at)!;
    this.#world.trace?.(`-- ${at}/data is slow, and runs twice`);
    twin.startKind('data');
    await this.#done((call) => {
      return call.at === at && call.name === 'control.takeLease' && call.process !== process;
    });
    this.#isRewinding = false;
    this.#world.scheduler.after(ANSWER_MS, () => {
      if (twin.processes.has(process)) twin.kill(process);
    });
  }

  /** All other Regions, in any order. */
  #othersThan(leader: RegionId): readonly RegionId[] {
    const others = this.#world.members.filter((each) => each !== leader);
    return others
      .map((region) => ({ region, lot: this.#random.next() }))
      .toSorted((a, b) => a.lot - b.lot)
      .map(({ region }) => region);
  }

  #cutOff(region: RegionId, others: readonly RegionId[]): () => void {
    const { network } = this.#world;
    const undo = others.flatMap((other) => [network.block(region, other), network.block(other, region)]);
    return () => {
      for (const each of undo) each();
    };
  }

  #startAnew(region: RegionId): void {
    const twin = this.#twins.get(region)!;
    const sentinel = twin.sentinel;
    if (sentinel === undefined) return;
    twin.kill(sentinel);
    twin.startKind('sentinel');
  }
}
