import { setTimeout as pause } from 'node:timers/promises';

/** Writers per application; how long each rests between two tries, and how long a try may take, ms. */
const WRITERS = 3;
const REST_MS = 15;
const TRY_MS = 500;

/**
 * Users who know nothing of leaders: they write at every application all the time, each item once, under a key that
 * names its place. Until the end of the scope.
 */
export class Hammer implements AsyncDisposable {
  /** Ids of the writes that were acknowledged, and the epoch in which. */
  readonly acknowledged = new Map<string, number>();
  #stopped = false;
  readonly #writers: Promise<unknown>;

  constructor(applications: Readonly<Record<string, string>>) {
    const writers = Object.entries(applications).flatMap(([place, url]) =>
      Array.from({ length: WRITERS }, (_, writer) => this.#write(`${place} ${writer}`, url)),
    );
    this.#writers = Promise.all(writers);
  }

  /** How many writes of an epoch were acknowledged. */
  countOf(epoch: number): number {
    return [...this.acknowledged.values()].filter((each) => each === epoch).length;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#writers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #write(name: string, url: string): Promise<void> {
    for (let n = 0; !this.#stopped; n += 1) {
      const id = `${name} ${n}`;
      const epoch = await tryPut(url, id);
      if (epoch !== undefined) this.acknowledged.set(id, epoch);
      await pause(REST_MS);
    }
  }
}

/** The epoch in which a write was acknowledged; undefined if it was not. */
async function tryPut(url: string, id: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      body: JSON.stringify({ id: { S: id } }),
      signal: AbortSignal.timeout(TRY_MS),
    });
    const answer = (await response.json()) as { readonly epoch?: number };
    return response.ok ? answer.epoch : undefined;
  } catch {
    return undefined;
  }
}
