import { connect, type Socket } from 'node:net';
import { DelayLine, type Delivered, type Scheduler, type Wire } from '#lib/local/delay-line.ts';

type Parcel =
  /** The client's first packet, which opens the connection to the server … */
  | { readonly kind: 'open' }
  /** … and the server's answer, upon which the client may send. */
  | { readonly kind: 'opened' }
  | { readonly kind: 'bytes'; readonly bytes: Buffer }
  | { readonly kind: 'end' }
  | { readonly kind: 'reset' };

/** Bytes on their way in one direction at which the sender has to wait, and at which it may go on. */
export const HIGH_WATER = 4 * 1024 * 1024;
const LOW_WATER = HIGH_WATER / 2;

export type ConnectionOptions = {
  /** Accepted with allowHalfOpen, paused. */
  readonly client: Socket;
  readonly targetPort: number;
  /** Client to server. */
  readonly forward: Wire;
  readonly back: Wire;
  readonly scheduler: Scheduler;
  readonly onClose: () => void;
};

/**
 * One client's connection through a link. The kernel has answered the client already; the handshake is made
 * good here: the server hears of it one way later, and the client's first bytes leave one round trip later.
 */
export class LinkConnection {
  readonly #client: Socket;
  readonly #targetPort: number;
  readonly #forward: DelayLine<Parcel>;
  readonly #back: DelayLine<Parcel>;
  readonly #onClose: () => void;
  #server: Socket | undefined;
  #severed: 'both' | 'back' | undefined;

  constructor({ client, targetPort, forward, back, scheduler, onClose }: ConnectionOptions) {
    this.#client = client;
    this.#targetPort = targetPort;
    this.#onClose = onClose;
    this.#forward = new DelayLine(forward, scheduler, (parcel) => this.#toServer(parcel));
    this.#back = new DelayLine(back, scheduler, (parcel) => this.#toClient(parcel));
    this.#watch(client, this.#forward, this.#back);
    this.#forward.push({ kind: 'open' });
  }

  /** True once something was lost: TCP cannot go on without it, so the connection cannot be healed. */
  get isBroken(): boolean {
    return this.#severed !== undefined;
  }

  /** Bytes that were read from one end and not yet written to the other; bounded. */
  get bytesInFlight(): number {
    return this.#forward.bytes + this.#back.bytes;
  }

  /** From now on nothing gets through, either way or only to the client; nobody is told. */
  sever(direction: 'both' | 'back'): void {
    if (this.#severed === 'both') return;
    this.#severed = direction;
    this.#back.cut();
    if (direction === 'both') {
      this.#forward.cut();
      this.#client.pause();
      this.#server?.pause();
    } else if (this.#server !== undefined) {
      // What would have told the client to go on may have been lost just now.
      this.#startClient();
    }
  }

  /** Ends the connection for both with an RST. */
  reset(): void {
    this.#forward.cut();
    this.#back.cut();
    this.#client.resetAndDestroy();
    this.#server?.resetAndDestroy();
  }

  #toServer(parcel: Parcel): Delivered {
    if (parcel.kind === 'open') {
      this.#connect();
      return 'wait';
    }
    return this.#deliver(parcel, this.#server, this.#forward, this.#client);
  }

  #toClient(parcel: Parcel): Delivered {
    if (parcel.kind === 'opened') {
      this.#startClient();
      return 'more';
    }
    return this.#deliver(parcel, this.#client, this.#back, this.#server);
  }

  #connect(): void {
    const server = connect({
      host: '127.0.0.1',
      port: this.#targetPort,
      allowHalfOpen: true,
      noDelay: true,
    });
    this.#server = server;
    this.#watch(server, this.#back, this.#forward);
    server.once('connect', () => {
      if (this.#severed === 'both') return;
      this.#forward.resume();
      this.#read(server, this.#back);
      if (this.#severed === 'back') this.#startClient();
      else this.#back.push({ kind: 'opened' });
    });
  }

  #startClient(): void {
    if (this.#client.listenerCount('data') === 0) this.#read(this.#client, this.#forward);
  }

  /** `out` leads away from the socket, `into` towards it. */
  #watch(socket: Socket, out: DelayLine<Parcel>, into: DelayLine<Parcel>): void {
    // 'close' follows and says that there was one.
    socket.on('error', () => {});
    socket.on('drain', () => into.resume());
    socket.on('end', () => out.push({ kind: 'end' }));
    socket.on('close', (hadError) => {
      into.cut();
      if (hadError) out.push({ kind: 'reset' });
      if (this.#client.destroyed && (this.#server?.destroyed ?? true)) this.#onClose();
    });
  }

  #read(source: Socket, out: DelayLine<Parcel>): void {
    source.on('data', (bytes) => {
      out.push({ kind: 'bytes', bytes }, bytes.length);
      if (out.bytes >= HIGH_WATER) source.pause();
    });
    source.resume();
  }

  #deliver(
    parcel: Parcel,
    to: Socket | undefined,
    line: DelayLine<Parcel>,
    from: Socket | undefined,
  ): Delivered {
    if (parcel.kind === 'reset') to?.resetAndDestroy();
    if (parcel.kind === 'end') to?.end();
    if (parcel.kind !== 'bytes') return 'more';
    if (line.bytes <= LOW_WATER && from?.isPaused() === true) from.resume();
    return to === undefined || to.write(parcel.bytes) ? 'more' : 'wait';
  }
}
