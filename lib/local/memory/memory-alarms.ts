import type { AlarmState } from '#lib/domain/alarms.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';

/** Alarms in memory: they stand as they are set. */
export class MemoryAlarms implements AlarmStates {
  readonly #states = new Map<string, AlarmState>();

  set(state: AlarmState): void {
    this.#states.set(state.alarm, state);
  }

  async of(names: readonly string[]): Promise<readonly AlarmState[]> {
    return names.flatMap((name) => this.#states.get(name) ?? []);
  }
}
