/** Time, passed in, so that a test can run it by hand. */
export interface Timer {
  /** Unix ms. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` aborts; never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's own time. */
export const systemTimer: Timer = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve();
      const wake = () => {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timeout = setTimeout(wake, ms);
      signal?.addEventListener('abort', wake, { once: true });
    }),
};

/** A sleep that can be cut short from outside. A ring that finds nobody asleep cuts the next sleep short. */
export class Bell {
  readonly #timer: Timer;
  #asleep: AbortController | undefined;
  #rung = false;

  constructor(timer: Timer) {
    this.#timer = timer;
  }

  /** One sleeper at a time. */
  async sleep(ms: number): Promise<void> {
    if (!this.#rung && ms > 0) {
      this.#asleep = new AbortController();
      await this.#timer.sleep(ms, this.#asleep.signal);
      this.#asleep = undefined;
    }
    this.#rung = false;
  }

  ring(): void {
    this.#rung = true;
    this.#asleep?.abort();
  }
}

/** What `work` resolves to, or 'late' if it has not settled within `ms`. Rejects only if `work` does in time. */
export async function within<T>(timer: Timer, ms: number, work: Promise<T>): Promise<T | 'late'> {
  const done = new AbortController();
  try {
    return await Promise.race([work, timer.sleep(ms, done.signal).then(() => 'late' as const)]);
  } finally {
    done.abort();
  }
}

const BACKOFF_BASE_MS = 100;
const BACKOFF_CAP_MS = 5000;

/**
 * Pause before the next try, ms: doubles with each failure in a row up to a cap, between half of it and all.
 *
 * @param failures failures in a row, at least 1.
 * @param random from 0 to 1.
 */
export function backoffMs(failures: number, random: number): number {
  const ceiling = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(failures - 1, 20));
  return (ceiling * (1 + random)) / 2;
}
