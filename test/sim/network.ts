import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Process } from './process.ts';
import type { Random } from './random.ts';
import type { Scheduler } from './scheduler.ts';

/** What can fail on its own in a Region: the tables of the control path and the log; the data's store. */
export type Service = 'control' | 'store' | 'dns';

export type Weather = {
  /** That a request or an answer is lost. */
  readonly loss: number;
  /** That a request takes effect twice. */
  readonly twice: number;
  /** Mean of what a message takes beyond its way, ms. */
  readonly jitterMs: number;
};

/** A fence has no epoch to tell an old call by: one that came twice could undo what was done since. */
const ONCE = new Set(['store.raise', 'store.lower']);

export const FAIR: Weather = { loss: 0.0005, twice: 0.002, jitterMs: 5 };

export type Trace = (line: string) => void;

/** The ways between Regions, and the services at their ends. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #random: Random;
  readonly #trace: Trace | undefined;
  /** Longest that a caller waits for an answer that does not come, ms. */
  readonly #patienceMs: number;
  weather: Weather = FAIR;
  /** `from>to`, each with how many faults block it. */
  readonly #blocked = new Map<string, number>();
  /** `region/service`: how it is out of order. */
  readonly outages = new Map<string, 'hangs' | 'fails'>();
  /** How much longer than usual the services of a Region take. */
  readonly slow = new Map<RegionId, number>();
  /** Least time from a Region to another, ms; the same both ways. */
  readonly #ways = new Map<RegionId, Map<RegionId, number>>();

  constructor(deps: { scheduler: Scheduler; random: Random; patienceMs: number; trace?: Trace | undefined }) {
    this.#scheduler = deps.scheduler;
    this.#random = deps.random;
    this.#patienceMs = deps.patienceMs;
    this.#trace = deps.trace;
  }

  block(from: RegionId, to: RegionId): () => void {
    const way = `${from}>${to}`;
    this.#blocked.set(way, (this.#blocked.get(way) ?? 0) + 1);
    return () => {
      const left = this.#blocked.get(way)! - 1;
      if (left > 0) this.#blocked.set(way, left);
      else this.#blocked.delete(way);
    };
  }

  /** One call: the request travels, takes effect (once, twice or not at all), and the answer travels back, or not. */
  call<T>(
    from: Process,
    to: RegionId,
    service: Service,
    name: string,
    args: readonly unknown[],
    effect: () => Promise<T>,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const random = this.#random;
      const scheduler = this.#scheduler;
      // A client waits only so long; what it has sent may take effect all the same.
      const deadline = scheduler.now + random.between(0.2, random.chance(0.1) ? 4 : 1) * this.#patienceMs;
      const giveUp = () =>
        scheduler.after(deadline - scheduler.now, () => from.deliver(() => reject(unreachable(to))));
      const answer = (settle: () => void) => {
        const ms = this.#delay(from.region, to);
        if (scheduler.now + ms > deadline || this.#isLost(to, from.region)) giveUp();
        else scheduler.after(ms, () => from.deliver(settle));
      };
      const arrive = (answering: boolean) => {
        const out = this.outages.size > 0 && this.outages.get(`${to}/${service}`);
        if (out === 'fails') return answering && answer(() => reject(unreachable(to)));
        if (out === 'hangs') return answering && giveUp();
        effect().then(
          (value) => {
            this.#trace?.(`${from.region}/${from.kind} ${to} ${name}${plain(args)} = ${plain(value)}`);
            if (answering) answer(() => resolve(value));
          },
          (error) => {
            this.#trace?.(`${from.region}/${from.kind} ${to} ${name}${plain(args)} ! ${String(error)}`);
            if (answering) answer(() => reject(error));
          },
        );
      };
      if (this.#isLost(from.region, to)) return giveUp();
      const ms = this.#delay(from.region, to);
      const late = scheduler.now + ms > deadline;
      if (late) giveUp();
      const twice = !ONCE.has(name) && random.chance(this.weather.twice);
      // Sent again by a client that missed the first answer, or delivered twice: either may be the one that counts.
      const counts = twice && random.chance(0.5) ? 'second' : 'first';
      scheduler.after(ms, () => arrive(!late && counts === 'first'));
      if (!twice) return;
      const again = random.exponential(random.chance(0.2) ? this.#patienceMs : 200);
      scheduler.after(ms + again, () => arrive(!late && counts === 'second'));
    });
  }

  /** True if a hint from one Region does not reach the other. */
  #isLost(from: RegionId, to: RegionId): boolean {
    if (from !== to && this.#blocked.size > 0 && this.#blocked.has(`${from}>${to}`)) return true;
    return this.#random.chance(from === to ? this.weather.loss / 10 : this.weather.loss);
  }

  #delay(from: RegionId, to: RegionId): number {
    const base = this.#ways.get(from)?.get(to) ?? this.#measure(from, to);
    const jitter = this.#random.exponential(from === to ? 2 : this.weather.jitterMs);
    return (base + jitter) * (this.slow.get(to) ?? 1);
  }

  #measure(from: RegionId, to: RegionId): number {
    const base = from === to ? 2 : this.#random.between(8, 90);
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const) {
      this.#ways.set(a, (this.#ways.get(a) ?? new Map()).set(b, base));
    }
    return base;
  }
}

/**
 * The port `target` as a process reaches it over the network.
 * @param methods those that it may call.
 */
export function remote<T extends object, M extends keyof T>(
  target: T,
  methods: readonly M[],
  call: (name: string, args: readonly unknown[], effect: () => Promise<unknown>) => Promise<unknown>,
): Pick<T, M> {
  const port: Partial<Record<M, unknown>> = {};
  for (const name of methods) {
    const method = target[name] as (...args: unknown[]) => Promise<unknown>;
    port[name] = (...args: unknown[]) => call(String(name), args, () => method.apply(target, args));
  }
  return port as Pick<T, M>;
}

export function plain(value: unknown): string {
  const text = JSON.stringify(value, (key, each) => {
    if (each?.type === 'Buffer') return 'bytes';
    if (typeof each === 'bigint') return `${each}`;
    if (['chain', 'prev', 'hash', 'marks', 'cursor'].includes(key) && typeof each === 'string')
      return each.slice(0, 6);
    if (key === 'marks') return undefined;
    return each;
  });
  return (text ?? '').replaceAll('"', '');
}

function unreachable(region: RegionId): UnderstudyError {
  return new UnderstudyError('REGION_UNREACHABLE', `${region} did not answer`, 'Try again.');
}
