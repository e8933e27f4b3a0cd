import type { DrillEvent } from '#lib/local/drill/drill-report.ts';

/** How long a repeated event is waited for, ms. */
const QUIET_MS = 2_500;

/** Makes one event, with a count, of those that a place repeats one after the other in a phase. */
export class Repeats {
  readonly #emit: (event: DrillEvent) => void;
  /** The event that a place may repeat yet, by place and phase, and when it last did, ms. */
  readonly #held = new Map<string, { readonly event: DrillEvent; readonly times: number; lastMs: number }>();

  constructor(emit: (event: DrillEvent) => void) {
    this.#emit = emit;
  }

  /** Hands an event on, and before it whatever was held of its place and phase; one that may be repeated is held. */
  add(event: DrillEvent, mayRepeat: boolean): void {
    const key = `${event.at} ${event.phase}`;
    const held = this.#held.get(key);
    if (held?.event.what === event.what) {
      this.#held.set(key, { event: held.event, times: held.times + 1, lastMs: event.atMs });
      return;
    }
    this.#release(key);
    if (mayRepeat) this.#held.set(key, { event, times: 1, lastMs: event.atMs });
    else this.#emit(event);
  }

  /** Hands on what was not repeated for a while; at the end, with no `atMs`, all that is held. */
  settle(atMs = Number.POSITIVE_INFINITY): void {
    for (const [key, { lastMs }] of this.#held) if (atMs - lastMs > QUIET_MS) this.#release(key);
  }

  #release(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    this.#held.delete(key);
    const { event, times } = held;
    this.#emit(times === 1 ? event : { ...event, times });
  }
}
