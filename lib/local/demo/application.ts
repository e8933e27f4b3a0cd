import { setTimeout as sleep } from 'node:timers/promises';

/** Writes under way at a time. */
const IN_FLIGHT = 64;
const BEAT_MS = 10;

/** An application that writes to one store; counts what was acknowledged. */
export class Application<W> {
  readonly #commit: (write: W) => Promise<unknown>;
  readonly #flights = new Set<Promise<void>>();
  acknowledged = 0;
  failed = 0;

  /** @param commit resolves once a write is acknowledged. */
  constructor(commit: (write: W) => Promise<unknown>) {
    this.#commit = commit;
  }

  /** Takes `rate` writes a second from `next` for `seconds`, or until `signal`. */
  async run(next: () => W, rate: number, seconds: number, signal: AbortSignal): Promise<void> {
    const start = performance.now();
    const total = Math.round(rate * seconds);
    for (let sent = 0; sent < total && !signal.aborted; ) {
      const due = Math.min(total, Math.ceil(((performance.now() - start) / 1000) * rate));
      for (; sent < due && !signal.aborted; sent++) await this.#send(next());
      if (sent < total) await sleep(BEAT_MS);
    }
    await Promise.all(this.#flights);
  }

  /** Writes all of `writes`, as fast as they are taken. */
  async runAll(writes: AsyncIterable<W>, signal: AbortSignal): Promise<void> {
    for await (const write of writes) {
      if (signal.aborted) break;
      await this.#send(write);
    }
    await Promise.all(this.#flights);
  }

  /** Returns once there is room for the next write. Writes of one key are kept apart by the caller's choice of keys. */
  async #send(write: W): Promise<void> {
    while (this.#flights.size >= IN_FLIGHT) await Promise.race(this.#flights);
    const flight = this.#write(write).finally(() => this.#flights.delete(flight));
    this.#flights.add(flight);
  }

  async #write(write: W): Promise<void> {
    try {
      await this.#commit(write);
      this.acknowledged++;
    } catch {
      this.failed++;
    }
  }
}
