import { UnderstudyError } from '#lib/domain/errors.ts';
import { type Child, spawnNode } from '#lib/local/child.ts';
import type { LinkSettings } from '#lib/local/link.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Exit } from '#lib/local/supervised.ts';

/** A link for the requests of one Region to one service of another. */
export type LinkSpec = {
  readonly from: string;
  readonly to: string;
  readonly service: string;
  readonly targetPort: number;
};

export type NetworkRequest =
  | {
      readonly kind: 'open';
      readonly links: readonly (LinkSpec & { readonly port: number })[];
      readonly settings: Partial<LinkSettings>;
    }
  | {
      readonly kind: 'set';
      readonly from: string;
      readonly to: string;
      readonly patch: Partial<LinkSettings>;
    };
export type NetworkMessage = { readonly id: number; readonly request: NetworkRequest };
export type NetworkReply = { readonly id: number; readonly error?: string };

const NEXT = 'Start the embedded cloud again.';

/** The network between the Regions: all links, in one process of their own. */
export class Network implements AsyncDisposable {
  readonly #child: Child;
  readonly #waiting = new Map<number, (reply: NetworkReply) => void>();
  #lastId = 0;

  private constructor(child: Child) {
    this.#child = child;
    child.onMessage((message) => {
      const reply = message as NetworkReply;
      this.#waiting.get(reply.id)?.(reply);
      this.#waiting.delete(reply.id);
    });
  }

  /**
   * Throws SERVER_NOT_STARTED.
   *
   * @param signal ends it.
   */
  static async start(signal?: AbortSignal): Promise<Network> {
    const network = new Network(
      spawnNode(new URL('./network-process.ts', import.meta.url), {
        name: 'network',
        ...(signal && { signal }),
      }),
    );
    await network.#child.ready;
    return network;
  }

  get pid(): number {
    return this.#child.pid;
  }

  get exited(): Promise<Exit> {
    return this.#child.exited;
  }

  /** Opens links and returns the loopback port of each, in the given order. `settings` differ from DEFAULT_LINK. */
  async open(links: readonly LinkSpec[], settings: Partial<LinkSettings> = {}): Promise<readonly number[]> {
    const placed = await Promise.all(links.map(async (link) => ({ ...link, port: await freePort() })));
    await this.#call({ kind: 'open', links: placed, settings });
    return placed.map(({ port }) => port);
  }

  /**
   * Changes the open links from one Region to another; '*' stands for any. A link carries requests of `from`
   * and their answers, so to cut two Regions off from each other takes both directions.
   */
  async set(from: string, to: string, patch: Partial<LinkSettings>): Promise<void> {
    await this.#call({ kind: 'set', from, to, patch });
  }

  async close(): Promise<void> {
    await this.#child.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #call(request: NetworkRequest): Promise<void> {
    this.#lastId += 1;
    const id = this.#lastId;
    const replied = new Promise<NetworkReply>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ id, request } satisfies NetworkMessage);
    const gone = this.exited.then((): NetworkReply => ({ id, error: 'its process has ended' }));
    const { error } = await Promise.race([replied, gone]);
    this.#waiting.delete(id);
    if (error !== undefined) {
      throw new UnderstudyError(
        'SERVER_NOT_STARTED',
        `the network did not ${request.kind} links: ${error}`,
        NEXT,
      );
    }
  }
}
