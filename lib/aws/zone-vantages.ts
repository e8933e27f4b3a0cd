import { Resolver } from 'node:dns/promises';
import { canonicalTarget, typeOfTarget } from '#lib/aws/dns-target.ts';
import type { Sight } from '#lib/domain/control/dns-sight.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';

/** How often each server is asked: of several healthy sets it names one by chance. */
const ASKS = 4;
const PATIENCE = { timeout: 1_000, tries: 2 };

/**
 * The name servers of the zone that a name is in, asked one by one and past all caches. They are found as resolvers
 * find them, unless they are given.
 */
export class ZoneVantages implements DnsVantages {
  readonly #name: string;
  readonly #given: readonly string[] | undefined;

  /** `servers`: addresses, with a port or without. */
  constructor({ name, servers }: { readonly name: string; readonly servers?: readonly string[] }) {
    this.#name = canonicalTarget(name);
    this.#given = servers;
  }

  async ask(target: string): Promise<readonly Sight[]> {
    const servers = this.#given ?? (await this.#nameServers());
    const sights = await Promise.all(servers.map((server) => this.#look(server, typeOfTarget(target))));
    if (sights.length > 0) return sights;
    return [{ vantage: 'DNS', error: `no name servers of ${this.#name} are found` }];
  }

  async #look(vantage: string, type: string): Promise<Sight> {
    try {
      const resolver = new Resolver(PATIENCE);
      resolver.setServers(
        this.#given === undefined ? await new Resolver(PATIENCE).resolve4(vantage) : [vantage],
      );
      const asked = Array.from({ length: ASKS }, () => resolver.resolve(this.#name, type));
      const answers = (await Promise.all(asked)) as string[][];
      return { vantage, targets: [...new Set(answers.flat().map(canonicalTarget))].sort() };
    } catch (error) {
      return { vantage, error: String(error) };
    }
  }

  /** Those of the closest zone above the name. */
  async #nameServers(): Promise<readonly string[]> {
    const resolver = new Resolver(PATIENCE);
    const labels = this.#name.split('.');
    for (let depth = 0; depth < labels.length; depth++) {
      const found = await resolver.resolveNs(labels.slice(depth).join('.')).catch(() => []);
      if (found.length > 0) return found;
    }
    return [];
  }
}
