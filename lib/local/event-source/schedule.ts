import type { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { Bell, type Timer, within } from '#lib/local/event-source/timer.ts';

export type TickEvent = { readonly kind: 'tick' };

export type ScheduleOptions = {
  readonly everyMs: number;
  readonly invoker: FunctionInvoker<TickEvent>;
  readonly timer: Timer;
  /** For a log. The next tick comes all the same. */
  readonly onError?: (error: unknown) => void;
};

const STOP_BOUND_MS = 5000;

/** Invokes a function at once and then every so often. Ticks that fall into a running invocation are dropped. */
export class Schedule {
  readonly #options: ScheduleOptions;
  readonly #bell: Bell;
  #running: Promise<void> | undefined;
  #stopping = false;
  #stats = { invocations: 0, errors: 0 };

  constructor(options: ScheduleOptions) {
    this.#options = options;
    this.#bell = new Bell(options.timer);
  }

  stats(): { readonly invocations: number; readonly errors: number } {
    return { ...this.#stats };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits up to `boundMs` for a running invocation. */
  async stop(boundMs = STOP_BOUND_MS): Promise<void> {
    this.#stopping = true;
    this.#bell.ring();
    if (this.#running !== undefined) await within(this.#options.timer, boundMs, this.#running);
  }

  async #run(): Promise<void> {
    const { everyMs, invoker, timer, onError } = this.#options;
    const startMs = timer.now();
    while (!this.#stopping) {
      const invocation = await invoker.invoke({ kind: 'tick' });
      this.#stats.invocations += 1;
      if (invocation.kind !== 'returned') {
        this.#stats.errors += 1;
        onError?.(invocation.kind === 'failed' ? invocation.error : new Error('The function timed out'));
      }
      const sinceTick = (timer.now() - startMs) % everyMs;
      await this.#bell.sleep(everyMs - sinceTick);
    }
  }
}
