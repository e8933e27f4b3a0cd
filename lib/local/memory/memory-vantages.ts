import type { Sight } from '#lib/domain/control/dns-sight.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';

/** Vantages in memory: each answers with what it is said to serve, and a lost one with nothing. */
export class MemoryVantages implements DnsVantages {
  readonly #served: () => ReadonlyMap<string, readonly string[] | undefined>;

  /** `served`: targets by vantage. */
  constructor(served: () => ReadonlyMap<string, readonly string[] | undefined>) {
    this.#served = served;
  }

  async ask(_target: string): Promise<readonly Sight[]> {
    return [...this.#served()].map(([vantage, targets]) =>
      targets === undefined || targets.length === 0
        ? { vantage, error: 'no answer' }
        : { vantage, targets: [...new Set(targets)].sort() },
    );
  }
}
