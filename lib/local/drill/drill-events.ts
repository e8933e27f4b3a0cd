import type { DrillEvent } from '#lib/local/drill/drill-report.ts';

/** The events of a drill. What a place repeats in a phase is one event with a count; it is told when it first happens. */
export class DrillEvents {
  readonly #tell: (event: DrillEvent) => void;
  readonly #events: DrillEvent[] = [];
  /** Where the last event of a place and phase is among them. */
  readonly #last = new Map<string, number>();

  constructor(tell: (event: DrillEvent) => void) {
    this.#tell = tell;
  }

  get all(): readonly DrillEvent[] {
    return this.#events;
  }

  add(event: DrillEvent, mayRepeat = false): void {
    const key = `${event.at} ${event.phase}`;
    const index = this.#last.get(key);
    const last = index === undefined ? undefined : this.#events[index];
    if (mayRepeat && last?.what === event.what) {
      this.#events[index!] = { ...last, times: (last.times ?? 1) + 1 };
      return;
    }
    this.#last.set(key, this.#events.push(event) - 1);
    this.#tell(event);
  }
}
