import type { Epoch } from '#lib/domain/lsn.ts';
import type { Decision, History } from '#lib/ports/history.ts';

/** The decision log in memory. */
export class MemoryHistory implements History {
  readonly #decisions: Decision[] = [];

  async record(decision: Decision): Promise<void> {
    this.#decisions.push(structuredClone(decision));
  }

  async of(epoch: Epoch): Promise<readonly Decision[]> {
    return this.#decisions.filter((decision) => decision.epoch === epoch);
  }
}
