import type { RegionId } from '#lib/domain/ids.ts';
import { FAIR } from './network.ts';
import { isLasting, type Process } from './process.ts';
import type { RegionTwin } from './region.ts';
import type { World } from './world.ts';

export type Temper = {
  /** Mean time between two faults while there are any, ms. */
  readonly everyMs: number;
  /** Mean time that one lasts, ms. */
  readonly lastsMs: number;
  /** That a process is killed, or stopped, at an await. */
  readonly killAtAwait: number;
  readonly pauseAtAwait: number;
  /** How far two wall clocks may be apart, ms: half of it to each side. */
  readonly wallMs: number;
  /**
   * frozen: stopped processes stop with their steady clocks. set: those run on, but wall clocks are set now and then.
   * A switchover's mark in the log is a time: with clocks that are set back it proves nothing, so nobody asks for one.
   */
  readonly clocks: 'frozen' | 'set' | 'sound';
};

/** Breaks things at random, and mends them. */
export class Faults {
  readonly #world: World;
  readonly #twins: ReadonlyMap<RegionId, RegionTwin>;
  readonly #temper: Temper;
  #raging = false;
  #mends = new Set<() => void>();
  #round = 0;

  constructor(world: World, twins: ReadonlyMap<RegionId, RegionTwin>, temper: Temper) {
    this.#world = world;
    this.#twins = twins;
    this.#temper = temper;
    world.strike = (process) => this.#strike(process);
    this.#setClocks();
  }

  begin(): void {
    this.#raging = true;
    this.#round += 1;
    const round = this.#round;
    const next = () => {
      if (!this.#raging || round !== this.#round) return;
      this.#one();
      this.#world.scheduler.after(this.#world.random.exponential(this.#temper.everyMs), next);
    };
    this.#world.scheduler.after(0, next);
  }

  /** Mends everything, at once. */
  end(): void {
    this.#raging = false;
    for (const mend of [...this.#mends]) mend();
    this.#world.network.weather = FAIR;
    for (const twin of this.#twins.values()) for (const process of twin.processes.keys()) process.resume();
    this.#world.trace?.('-- faults end');
  }

  /** At an await, a process may be killed or stopped. */
  #strike(process: Process): void {
    if (!this.#raging) return;
    const { random } = this.#world;
    const { killAtAwait, pauseAtAwait } = this.#temper;
    const lot = random.next();
    if (lot < killAtAwait) this.#kill(process);
    else if (lot < killAtAwait + pauseAtAwait) this.#pause(process);
  }

  #one(): void {
    const { members, random } = this.#world;
    const region = random.pick(members);
    const twin = this.#twins.get(region)!;
    const leader = this.#world.monitor.register?.leader;
    // The leader's Region is where it hurts.
    const target = leader !== undefined && random.chance(0.4) ? leader : region;
    const kinds: readonly (() => void)[] = [
      () => this.#isolate(target, random.below(3)),
      () => this.#halfOpen(target, random.pick(members)),
      () => this.#out(`${target}/control`),
      () => this.#out(`${target}/store`),
      () => this.#slow(target, random.pick([5, 30, 200])),
      () => this.#badWeather(),
      () => this.#lose(target),
      () => {
        for (const process of this.#twins.get(target)!.processes.keys()) this.#pause(process);
      },
      () => {
        for (const process of [...twin.processes.keys()]) if (random.chance(0.6)) this.#kill(process);
      },
      () => {
        const sentinel = this.#twins.get(target)!.sentinel;
        if (sentinel !== undefined) this.#pause(sentinel);
      },
      () => (this.#temper.clocks === 'set' ? this.#setClocks() : this.#switchOver()),
    ];
    random.pick(kinds)();
  }

  /** An operator's, started where the leader is. */
  #switchOver(): void {
    const { monitor, random, replicas, scheduler } = this.#world;
    if (monitor.register === undefined || random.chance(0.5)) return;
    const { leader, epoch } = monitor.register;
    if (random.chance(0.4)) {
      // Of a leader that lives: only its own consent, or the votes of a majority, may end its epoch.
      void this.#twins.get(random.pick(replicas))!.failOver(epoch, Math.floor(scheduler.now));
      return;
    }
    const successor = random.chance(0.7) ? random.pick(replicas) : undefined;
    void this.#twins.get(leader)!.switchOver(epoch, successor, Math.floor(scheduler.now));
  }

  #halfOpen(from: RegionId, to: RegionId): void {
    this.#during(`no way from ${from} to ${to}`, () => this.#world.network.block(from, to));
  }

  #slow(region: RegionId, factor: number): void {
    const { slow } = this.#world.network;
    this.#during(`${region} is slow`, () => {
      slow.set(region, factor);
      return () => slow.delete(region);
    });
  }

  #badWeather(): void {
    const { network, random } = this.#world;
    this.#during('bad weather', () => {
      network.weather = {
        loss: random.between(0, 0.25),
        twice: random.between(0, 0.2),
        jitterMs: random.pick([20, 200, 1_000]),
      };
      return () => {
        network.weather = FAIR;
      };
    });
  }

  #setClocks(): void {
    for (const { wall } of this.#world.sites.values()) {
      wall.offsetMs = this.#world.random.between(-0.5, 0.5) * this.#temper.wallMs;
    }
  }

  #during(what: string, begin: () => () => void): void {
    const { scheduler, random, trace } = this.#world;
    trace?.(`-- ${what}`);
    const undo = begin();
    const mend = () => {
      if (!this.#mends.delete(mend)) return;
      trace?.(`-- over: ${what}`);
      undo();
    };
    this.#mends.add(mend);
    scheduler.after(random.exponential(this.#temper.lastsMs), mend);
  }

  /** @param way 0: nothing passes; 1: nothing out; 2: nothing in. */
  #isolate(region: RegionId, way: number): void {
    const { members, network } = this.#world;
    this.#during(`${region} is cut off (${['both ways', 'outward', 'inward'][way]})`, () => {
      const undo = members
        .filter((other) => other !== region)
        .flatMap((other) => [
          ...(way === 2 ? [] : [network.block(region, other)]),
          ...(way === 1 ? [] : [network.block(other, region)]),
        ]);
      return () => {
        for (const each of undo) each();
      };
    });
  }

  #out(service: string): void {
    const { network, random } = this.#world;
    const how = random.chance(0.7) ? 'hangs' : 'fails';
    this.#during(`${service} ${how}`, () => {
      network.outages.set(service, how);
      return () => network.outages.delete(service);
    });
  }

  /** The Region is gone: its services hang, and what runs there dies. */
  #lose(region: RegionId): void {
    const { network } = this.#world;
    const twin = this.#twins.get(region)!;
    this.#during(`${region} is lost`, () => {
      const services = [`${region}/control`, `${region}/store`];
      for (const each of services) network.outages.set(each, 'hangs');
      const kinds = [...twin.processes.values()];
      for (const process of [...twin.processes.keys()]) twin.kill(process);
      return () => {
        for (const each of services) network.outages.delete(each);
        for (const kind of kinds) if (isLasting(kind)) twin.startKind(kind);
      };
    });
  }

  #kill(process: Process): void {
    const twin = this.#twins.get(process.region)!;
    const { kind } = process;
    if (!twin.processes.has(process)) return;
    twin.kill(process);
    if (!isLasting(kind)) return;
    this.#during(`${process.region}/${kind} is down`, () => () => twin.startKind(kind));
  }

  #pause(process: Process): void {
    if (process.paused || process.dead) return;
    const { random } = this.#world;
    const freeze = this.#temper.clocks === 'frozen' && random.chance(0.7);
    this.#during(`${process.region}/${process.kind} is stopped`, () => {
      process.pause(freeze);
      return () => process.resume();
    });
  }
}
