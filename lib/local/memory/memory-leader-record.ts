import { UnderstudyError } from '#lib/domain/errors.ts';
import type { FlipOutcome, LeaderInDns, LeaderRecord } from '#lib/ports/leader-record.ts';

/** The leader's record in memory. Its servers answer with a change from the next `settle` on. */
export class MemoryLeaderRecord implements LeaderRecord {
  readonly #inventory: readonly string[];
  readonly #changes: LeaderInDns[] = [];
  #inSync = 0;
  #byHand: string | undefined;

  constructor(deps: { inventory: readonly string[] }) {
    this.#inventory = deps.inventory;
  }

  /** What clients are told. */
  get served(): LeaderInDns | undefined {
    const leader = this.#changes[this.#inSync - 1];
    return leader && this.#byHand !== undefined ? { ...leader, target: this.#byHand } : leader;
  }

  async read(): Promise<LeaderInDns | undefined> {
    if (this.#byHand === undefined) return this.#changes.at(-1);
    throw new UnderstudyError(
      'DNS_RECORD_FOREIGN',
      `the DNS record was changed by hand: it points at ${this.#byHand}`,
      'Make it and its epoch agree again.',
    );
  }

  async flip(from: LeaderInDns | undefined, to: LeaderInDns): Promise<FlipOutcome> {
    if (!this.#inventory.includes(to.target)) {
      throw new UnderstudyError(
        'DNS_TARGET_UNKNOWN',
        `the DNS record may not name ${to.target}`,
        `Use one of ${this.#inventory.join(', ')}.`,
      );
    }
    if (this.#byHand !== undefined) return { kind: 'stale', now: undefined };
    const now = this.#changes.at(-1);
    if (isSame(now, to)) return { kind: 'already' };
    if (!isSame(now, from) || (from !== undefined && to.epoch <= from.epoch)) return { kind: 'stale', now };
    this.#changes.push(to);
    return { kind: 'submitted', change: String(this.#changes.length) };
  }

  async status(change: string): Promise<'pending' | 'in-sync'> {
    return Number(change) <= this.#inSync ? 'in-sync' : 'pending';
  }

  /** Brings the servers in sync. */
  settle(): void {
    this.#inSync = this.#changes.length;
  }

  /** Points the address at another target and leaves the epoch alone, as a person might. */
  changeByHand(target: string): void {
    this.#byHand = target;
  }

  /** Points the address at what its epoch says again. */
  mend(): void {
    this.#byHand = undefined;
  }
}

function isSame(a: LeaderInDns | undefined, b: LeaderInDns | undefined): boolean {
  return a?.epoch === b?.epoch && a?.target === b?.target;
}
