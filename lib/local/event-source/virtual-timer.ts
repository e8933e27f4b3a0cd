import type { Timer } from '#lib/local/event-source/timer.ts';

type Sleeper = { readonly atMs: number; readonly wake: () => void };

/** Time that stands still until a test runs it: each sleep ends as soon as nothing else can happen. */
export class VirtualTimer implements Timer {
  #now: number;
  #sleepers: Sleeper[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted || ms <= 0) return resolve();
      const sleeper: Sleeper = { atMs: this.#now + ms, wake: () => leave() };
      const leave = () => {
        this.#sleepers = this.#sleepers.filter((each) => each !== sleeper);
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.#sleepers.push(sleeper);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }

  /** Runs until `until` holds, or until `boundMs` of virtual time are over: then it throws. */
  async runUntil(until: () => boolean, boundMs = 600_000): Promise<void> {
    const deadline = this.#now + boundMs;
    for (;;) {
      await settled();
      if (until()) return;
      const next = this.#earliest();
      if (next === undefined) throw new Error('Nothing is asleep and the condition does not hold');
      if (next.atMs > deadline) throw new Error(`The condition does not hold after ${boundMs} virtual ms`);
      this.#wake(next);
    }
  }

  /** Runs for `ms` of virtual time. */
  async runFor(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const next = this.#earliest();
      if (next === undefined || next.atMs > end) break;
      this.#wake(next);
    }
    this.#now = end;
  }

  #earliest(): Sleeper | undefined {
    return this.#sleepers.reduce<Sleeper | undefined>(
      (first, each) => (first === undefined || each.atMs < first.atMs ? each : first),
      undefined,
    );
  }

  #wake(sleeper: Sleeper): void {
    this.#now = Math.max(this.#now, sleeper.atMs);
    sleeper.wake();
  }
}

/** Resolves once every promise that can settle without time or I/O has settled. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
