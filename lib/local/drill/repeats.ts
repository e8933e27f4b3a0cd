import type { DrillEvent } from '#lib/local/drill/drill-report.ts';

/** How long a repeated event is waited for, ms. */
const QUIET_MS = 1_500;

/** Makes one event, with a count, of those that a place repeats one after the other. */
export class Repeats {
  readonly #emit: (event: DrillEvent) => void;
  /** The event that a place may repeat yet, and when it last did, ms. */
  readonly #held = new Map<string, { readonly event: DrillEvent; readonly times: number; lastMs: number }>();

  constructor(emit: (event: DrillEvent) => void) {
    this.#emit = emit;
  }

  /** Hands an event on, and before it whatever was held of its place; one that may be repeated is held. */
  add(event: DrillEvent, mayRepeat: boolean): void {
    const held = this.#held.get(event.at);
    if (held?.event.what === event.what) {
      this.#held.set(event.at, { event: held.event, times: held.times + 1, lastMs: event.atMs });
      return;
    }
    this.#release(event.at);
    if (mayRepeat) this.#held.set(event.at, { event, times: 1, lastMs: event.atMs });
    else this.#emit(event);
  }

  /** Hands on what was not repeated for a while; at the end, with no `atMs`, all that is held. */
  settle(atMs = Number.POSITIVE_INFINITY): void {
    for (const [place, { lastMs }] of this.#held) if (atMs - lastMs > QUIET_MS) this.#release(place);
  }

  #release(place: string): void {
    const held = this.#held.get(place);
    if (held === undefined) return;
    this.#held.delete(place);
    const { event, times } = held;
    this.#emit(times === 1 ? event : { ...event, times });
  }
}
