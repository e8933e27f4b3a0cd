import { siblingOf } from '#lib/client/group-sites.ts';
import { LeaderClient } from '#lib/client/leader-client.ts';
import { LeaderFinder } from '#lib/client/leader-finder.ts';
import { NotLeaderError } from '#lib/client/not-leader-error.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** A write that was acknowledged. Times are Unix ms. */
export type Acknowledged = {
  readonly id: string;
  readonly sentMs: number;
  readonly atMs: number;
  readonly region: string;
  readonly epoch: number;
};

/** How long one try may take, and how long to wait between two, ms. */
const TRY_MS = 400;
const PAUSE_MS = 40;
/** Writes under way at a time, at most: while no leader is there, the others wait. */
const IN_FLIGHT = 16;

/**
 * A user of the group: finds the application through DNS and writes at a steady rate, each write once, with a name of its own.
 * Remembers what was acknowledged, by whom and when.
 */
export class DrillWriter {
  readonly acknowledged: Acknowledged[] = [];
  refused = 0;
  /** Writes of which nobody knows whether they were made. */
  unknown = 0;
  readonly #client: LeaderClient<string>;
  readonly #writeOf: (n: number) => { readonly id: string; readonly body: object };
  readonly #onAck: (write: Acknowledged) => void;
  #stopped = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: {
    readonly name: string;
    readonly ttlSeconds: number;
    readonly dnsServer: string;
    /** URL of the application that DNS calls `target`. */
    readonly urlOf: (target: string) => string;
    readonly writeOf: (n: number) => { readonly id: string; readonly body: object };
    readonly onAck?: (write: Acknowledged) => void;
    readonly sleep: (ms: number) => Promise<void>;
  }) {
    const now = () => Date.now();
    this.#writeOf = options.writeOf;
    this.#onAck = options.onAck ?? (() => {});
    this.#client = new LeaderClient({
      finder: new LeaderFinder({
        name: options.name,
        ttlSeconds: options.ttlSeconds,
        servers: [options.dnsServer],
        now,
      }),
      open: (target) => ({ handle: options.urlOf(target) }),
      onEvent: ({ kind }) => {
        if (kind === 'refused') this.refused += 1;
        if (kind === 'unknown') this.unknown += 1;
      },
      targetOf: siblingOf,
      tryMs: TRY_MS,
      pauseMs: PAUSE_MS,
      now,
      sleep: options.sleep,
    });
  }

  /** Makes `rate` writes a second until `stop`. */
  start(rate: number, sleep: (ms: number) => Promise<void>): void {
    this.#running = this.#run(rate, sleep);
  }

  /** Ends the writing and waits for what is under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #run(rate: number, sleep: (ms: number) => Promise<void>): Promise<void> {
    const flights = new Set<Promise<void>>();
    const start = performance.now();
    for (let sent = 0; !this.#stopped; ) {
      const due = Math.floor(((performance.now() - start) / 1000) * rate);
      // What could not be sent in time is not made up for: the load stays what it is.
      if (flights.size < IN_FLIGHT && sent < due) {
        const flight = this.#write(due).finally(() => flights.delete(flight));
        flights.add(flight);
        sent = due;
      }
      await sleep(Math.min(20, 1000 / rate));
    }
    await Promise.all(flights);
  }

  async #write(n: number): Promise<void> {
    const { id, body } = this.#writeOf(n);
    const sentMs = Date.now();
    try {
      const { epoch, region } = await this.#client.write((url, signal) => send(url, body, signal), {
        idempotent: true,
      });
      const write = { id, sentMs, atMs: Date.now(), region, epoch };
      this.acknowledged.push(write);
      this.#onAck(write);
    } catch {
      // Not acknowledged: it counts for nothing.
    }
  }
}

async function send(
  url: string,
  body: object,
  signal: AbortSignal,
): Promise<{ epoch: number; region: string }> {
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body), signal });
  if (response.status === 409) {
    const { leader } = (await response.json()) as { leader?: RegionId };
    throw new NotLeaderError(`${url} does not lead`, leader);
  }
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as { epoch: number; region: string };
}
