import { setTimeout as sleep } from 'node:timers/promises';
import type { Supervised } from '#lib/local/supervised.ts';

/** Time between a process's end and its next start, ms. */
const RESTART_MS = 20;

/** A process that is started again whenever it ends, until it is halted. */
export class KeptProcess<T extends Supervised = Supervised> {
  readonly #start: (signal: AbortSignal) => Promise<T>;
  readonly #onRestartFailed: (error: unknown) => void;
  #process: T | undefined;
  #wanted = false;
  #ending = new AbortController();
  #kept: Promise<void> = Promise.resolve();

  /** @param start each call brings up a new process on the same port and data; the signal ends it. */
  constructor(start: (signal: AbortSignal) => Promise<T>, onRestartFailed: (error: unknown) => void) {
    this.#start = start;
    this.#onRestartFailed = onRestartFailed;
  }

  /** Is it up, rather than halted or on its way back? */
  get isUp(): boolean {
    return this.#process !== undefined;
  }

  /** Starts it and keeps it running. A failure of this first start is the caller's. */
  async run(): Promise<T> {
    this.#wanted = true;
    this.#ending = new AbortController();
    const first = this.#bringUp();
    this.#kept = first.then(
      () => this.#keep(),
      () => {},
    );
    return first;
  }

  /** No effect while it is not up. */
  kill(signal: NodeJS.Signals): void {
    this.#process?.kill(signal);
    if (signal === 'SIGKILL') this.#process = undefined;
  }

  /** Ends it for good, or until `run`; returns when it is gone. One that is only coming up does not come up. */
  async halt(): Promise<void> {
    this.#wanted = false;
    this.#ending.abort();
    await this.#process?.stop();
    await this.#kept;
  }

  async #bringUp(): Promise<T> {
    const process = await this.#start(this.#ending.signal);
    this.#process = process;
    // It may have been halted while it came up.
    if (!this.#wanted) await process.stop();
    return process;
  }

  async #keep(): Promise<void> {
    for (;;) {
      await this.#process?.exited;
      this.#process = undefined;
      if (!this.#wanted) return;
      await sleep(RESTART_MS);
      if (!this.#wanted) return;
      try {
        await this.#bringUp();
      } catch (error) {
        if (this.#wanted) this.#onRestartFailed(error);
      }
    }
  }
}
