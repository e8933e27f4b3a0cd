import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { realTime, type Scheduler, Wire } from '#lib/local/delay-line.ts';
import { LinkConnection } from '#lib/local/link-connection.ts';

/**
 * - `up`: everything passes.
 * - `refuse`: as if nothing ran at the other end: connections are reset, new ones at once.
 * - `hang`: a partition. Nothing passes and nobody is told; new connections hang too.
 * - `half-open`: requests pass, answers do not, new connections included.
 *
 * What was on its way when a fault set in is lost. So when the fault ends, every connection that lived through
 * it is reset.
 */
export type LinkState = 'up' | 'refuse' | 'hang' | 'half-open';

export type LinkSettings = {
  readonly state: LinkState;
  /** One-way delay, client to server, ms. A new connection costs its round trip first. */
  readonly forwardMs: number;
  /** One-way delay, server to client, ms. */
  readonly backMs: number;
  /** Bandwidth shared by all connections, client to server; 0 is unlimited. */
  readonly forwardBytesPerSecond: number;
  readonly backBytesPerSecond: number;
};

export const DEFAULT_LINK: LinkSettings = {
  state: 'up',
  forwardMs: 40,
  backMs: 40,
  forwardBytesPerSecond: 0,
  backBytesPerSecond: 0,
};

export type LinkOptions = {
  /** Where it listens, on 127.0.0.1. */
  readonly port: number;
  readonly targetPort: number;
  readonly settings?: Partial<LinkSettings>;
  readonly scheduler?: Scheduler;
};

/** One directed TCP link from a client's Region to a server in another, with the faults of a network. */
export class Link implements AsyncDisposable {
  readonly #server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  readonly #connections = new Set<LinkConnection>();
  readonly #targetPort: number;
  readonly #scheduler: Scheduler;
  readonly #forward: Wire;
  readonly #back: Wire;
  #settings: LinkSettings;

  private constructor({ targetPort, settings, scheduler = realTime }: LinkOptions) {
    this.#targetPort = targetPort;
    this.#scheduler = scheduler;
    this.#settings = { ...DEFAULT_LINK, ...settings };
    this.#forward = new Wire(this.#settings.forwardMs, this.#settings.forwardBytesPerSecond);
    this.#back = new Wire(this.#settings.backMs, this.#settings.backBytesPerSecond);
    this.#server.on('connection', (client) => this.#accept(client));
  }

  /** Listens; rejects if the port is taken. */
  static async open(options: LinkOptions): Promise<Link> {
    const link = new Link(options);
    link.#server.listen(options.port, '127.0.0.1');
    await once(link.#server, 'listening');
    return link;
  }

  get settings(): LinkSettings {
    return this.#settings;
  }

  /** Connections that at least one end still has open. */
  get connections(): number {
    return this.#connections.size;
  }

  get bytesInFlight(): number {
    let sum = 0;
    for (const { bytesInFlight } of this.#connections) sum += bytesInFlight;
    return sum;
  }

  /** New delays and bandwidths hold for what is sent from now on; a new state holds at once. */
  set(patch: Partial<LinkSettings>): void {
    this.#settings = { ...this.#settings, ...patch };
    const { state, forwardMs, backMs, forwardBytesPerSecond, backBytesPerSecond } = this.#settings;
    this.#forward.delayMs = forwardMs;
    this.#forward.bytesPerSecond = forwardBytesPerSecond;
    this.#back.delayMs = backMs;
    this.#back.bytesPerSecond = backBytesPerSecond;
    for (const connection of this.#connections) enforce(state, connection);
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(client: Socket): void {
    const connection = new LinkConnection({
      client,
      targetPort: this.#targetPort,
      forward: this.#forward,
      back: this.#back,
      scheduler: this.#scheduler,
      onClose: () => this.#connections.delete(connection),
    });
    this.#connections.add(connection);
    enforce(this.#settings.state, connection);
  }
}

/** Makes a connection feel the state of its link; the same again changes nothing. */
function enforce(state: LinkState, connection: LinkConnection): void {
  switch (state) {
    case 'up':
      if (connection.isBroken) connection.reset();
      return;
    case 'refuse':
      connection.reset();
      return;
    case 'hang':
      connection.sever('both');
      return;
    case 'half-open':
      connection.sever('back');
  }
}
