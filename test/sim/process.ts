import type { RegionId } from '#lib/domain/ids.ts';
import type { SteadyClock } from '#lib/ports/telemetry.ts';
import type { Scheduler } from './scheduler.ts';

/** What runs on and on, and is started again when it dies. */
export type Lasting = 'sentinel' | 'data' | 'app';
/** task: a step of a workflow. look: reads, and tells what it has read. */
export type Kind = Lasting | 'task' | 'look';

export function isLasting(kind: Kind): kind is Lasting {
  return kind !== 'task' && kind !== 'look';
}

/** The clock on the wall of a Region, Unix ms: it may be off, and jump. */
export class WallClock {
  readonly #scheduler: Scheduler;
  offsetMs = 0;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  now(): number {
    return 1_700_000_000_000 + Math.floor(this.#scheduler.now + this.offsetMs);
  }
}

/**
 * One process: all that it waits for is given to it by `deliver`, so that it can be stopped at any await and go on later,
 * or never. A process that is started again is a new one: it remembers nothing.
 */
export class Process {
  readonly region: RegionId;
  readonly kind: Kind;
  readonly #scheduler: Scheduler;
  readonly #wall: WallClock;
  /** Of its steady clock: 1 is true time. */
  readonly #rate: number;
  /** Asked before each delivery: it may pause or kill the process. */
  readonly #strike: (process: Process) => void;
  #dead = false;
  #paused = false;
  #held: (() => void)[] = [];
  #frozenMs = 0;
  #frozenSince: number | undefined;

  constructor(deps: {
    region: RegionId;
    kind: Kind;
    scheduler: Scheduler;
    wall: WallClock;
    rate: number;
    strike: (process: Process) => void;
  }) {
    this.region = deps.region;
    this.kind = deps.kind;
    this.#scheduler = deps.scheduler;
    this.#wall = deps.wall;
    this.#rate = deps.rate;
    this.#strike = deps.strike;
  }

  readonly clock: SteadyClock = {
    now: () => this.#wall.now(),
    steadyMs: () => ((this.#frozenSince ?? this.#scheduler.now) - this.#frozenMs) * this.#rate,
  };

  readonly sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => this.#scheduler.after(ms / this.#rate, () => this.deliver(resolve)));

  get dead(): boolean {
    return this.#dead;
  }

  get paused(): boolean {
    return this.#paused;
  }

  deliver(run: () => void): void {
    if (this.#dead) return;
    if (!this.#paused) this.#strike(this);
    if (this.#dead) return;
    if (this.#paused) this.#held.push(run);
    else run();
  }

  kill(): void {
    this.#dead = true;
    this.#held = [];
  }

  /** @param freeze its steady clock stands still too, as that of a machine that is suspended. */
  pause(freeze: boolean): void {
    if (this.#paused || this.#dead) return;
    this.#paused = true;
    if (freeze) this.#frozenSince = this.#scheduler.now;
  }

  resume(): void {
    if (!this.#paused || this.#dead) return;
    this.#paused = false;
    if (this.#frozenSince !== undefined) this.#frozenMs += this.#scheduler.now - this.#frozenSince;
    this.#frozenSince = undefined;
    const held = this.#held;
    this.#held = [];
    for (const run of held) this.#scheduler.after(0, () => this.deliver(run));
  }
}
