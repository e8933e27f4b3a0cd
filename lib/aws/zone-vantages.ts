import { Resolver } from 'node:dns/promises';
import { canonicalTarget, typeOfTarget } from '#lib/aws/dns-target.ts';
import type { Sight } from '#lib/domain/control/dns-sight.ts';
import type { DnsVantages } from '#lib/ports/dns-vantages.ts';

/** How often each server is asked: of several healthy sets it names one by chance. */
const ASKS = 8;
const PATIENCE = { timeout: 1_000, tries: 2 };

/**
 * The name servers of the zone that a name is in, asked one by one and past all caches. They are found as resolvers
 * find them, unless they are given.
 */
export class ZoneVantages implements DnsVantages {
  readonly #name: string;
  readonly #given: readonly string[] | undefined;
  readonly #resolver: Resolver;

  /** `servers`: addresses, with a port or without; `resolver`: what finds them, if not the system's. */
  constructor(options: {
    readonly name: string;
    readonly servers?: readonly string[];
    readonly resolver?: Resolver;
  }) {
    this.#name = canonicalTarget(options.name);
    this.#given = options.servers;
    this.#resolver = options.resolver ?? new Resolver(PATIENCE);
  }

  async ask(target: string): Promise<readonly Sight[]> {
    const type = typeOfTarget(target);
    const servers = this.#given ?? (await this.#nameServers(type));
    const sights = await Promise.all(servers.map((server) => this.#look(server, type)));
    if (sights.length > 0) return sights;
    return [{ vantage: 'DNS', error: `no name servers of ${this.#name} are found` }];
  }

  async #look(vantage: string, type: string): Promise<Sight> {
    try {
      const resolver = new Resolver(PATIENCE);
      resolver.setServers(this.#given === undefined ? await this.#resolver.resolve4(vantage) : [vantage]);
      const asked = Array.from({ length: ASKS }, () => resolver.resolve(this.#name, type));
      const answers = (await Promise.all(asked)) as string[][];
      return { vantage, targets: [...new Set(answers.flat().map(canonicalTarget))].sort() };
    } catch (error) {
      return { vantage, error: String(error) };
    }
  }

  /** Those of the closest zone above the name. A name that stands for another (CNAME) would lead to that one's zone. */
  async #nameServers(type: string): Promise<readonly string[]> {
    const labels = this.#name.split('.');
    for (let depth = type === 'CNAME' ? 1 : 0; depth < labels.length; depth++) {
      const found = await this.#resolver.resolveNs(labels.slice(depth).join('.')).catch(() => []);
      if (found.length > 0) return found;
    }
    return [];
  }
}
