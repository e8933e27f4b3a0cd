import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 40;

/**
 * Watches a follower's store and measures, for each write that bears its time, how long it took to get there, ms. One
 * clock measures both ends, because all Regions are on one machine.
 */
export class LagProbe {
  readonly #arrived: () => Promise<readonly number[]>;
  readonly #samples: number[] = [];
  #recent: number[] = [];
  #stopped = false;
  #running: Promise<void> | undefined;

  /** @param arrived when the writes were made that have come since the last call, Unix ms. */
  constructor(arrived: () => Promise<readonly number[]>) {
    this.#arrived = arrived;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** All samples so far. */
  get samples(): readonly number[] {
    return this.#samples;
  }

  /** The median of the samples since the last call; undefined if there were none. */
  takeRecent(): number | undefined {
    const recent = this.#recent;
    this.#recent = [];
    return quantile(recent, 0.5);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      try {
        const times = await this.#arrived();
        const nowMs = Date.now();
        for (const atMs of times) this.#take(nowMs - atMs);
      } catch {
        // The server is being restarted: what it holds is still there afterwards.
      }
      await sleep(POLL_MS);
    }
  }

  #take(ms: number): void {
    this.#samples.push(ms);
    this.#recent.push(ms);
  }
}

/** The value below which a share of `values` lies; undefined for none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
