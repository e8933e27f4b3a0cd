import dns from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** What the name of a group stands for now: a DNS name or an address. */
export type Found = { readonly target: string };

/** The types of record by which a name may stand for an endpoint: another name, or an address. */
const TYPES = ['CNAME', 'A', 'AAAA'] as const;

/** Finds the leader by its DNS name, and keeps the answer for as long as DNS says that it holds. */
export class LeaderFinder {
  readonly #name: string;
  readonly #ttlMs: number;
  readonly #resolver: Resolver;
  readonly #now: () => number;
  /** The type that has answered last comes first. */
  #types: readonly (typeof TYPES)[number][] = TYPES;
  #known: { readonly found: Found; readonly untilMs: number } | undefined;

  /** @param options `servers`: where to ask, if not the servers that `node:dns` asks; `ttlSeconds`: of the record. */
  constructor(options: {
    readonly name: string;
    readonly ttlSeconds: number;
    readonly servers?: readonly string[];
    readonly now: () => number;
  }) {
    this.#name = options.name;
    this.#ttlMs = options.ttlSeconds * 1000;
    this.#now = options.now;
    this.#resolver = new Resolver({ timeout: 1000, tries: 2 });
    // Not imported by name: that would be what was set before this module was loaded.
    this.#resolver.setServers(options.servers ?? dns.getServers());
  }

  /** Throws REGION_UNREACHABLE if DNS does not answer and nothing is known. */
  async find(): Promise<Found> {
    if (this.#known !== undefined && this.#now() < this.#known.untilMs) return this.#known.found;
    try {
      const target = await this.#ask();
      this.#known = { found: { target }, untilMs: this.#now() + this.#ttlMs };
      return this.#known.found;
    } catch (cause) {
      // An old answer beats none: if it is wrong, the write is refused where it arrives.
      if (this.#known !== undefined) return this.#known.found;
      throw new UnderstudyError(
        'REGION_UNREACHABLE',
        `the name ${this.#name} does not resolve`,
        'Look at the resolver and at the record of the group.',
        { cause },
      );
    }
  }

  async #ask(): Promise<string> {
    for (const type of this.#types) {
      const [target] = await this.#resolver
        .resolve(this.#name, type)
        .catch((error: NodeJS.ErrnoException) => {
          // The name is there, without a record of this type. Any other failure says nothing of the next type.
          if (error.code === 'ENODATA') return [];
          throw error;
        });
      if (typeof target !== 'string') continue;
      this.#types = [type, ...TYPES.filter((each) => each !== type)];
      return target;
    }
    throw new Error(`it has no record of type ${TYPES.join(', ')}`);
  }

  /** The answer led nowhere: ask again next time. */
  forget(): void {
    if (this.#known !== undefined) this.#known = { ...this.#known, untilMs: 0 };
  }
}
