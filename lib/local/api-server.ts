import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { buffer } from 'node:stream/consumers';

export type ApiReply = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
};

/** How the twin of a service's API answers. */
export interface Api {
  answer(request: IncomingMessage, body: Buffer): ApiReply;
  /** As the service answers above its rate. */
  throttled(): ApiReply;
}

/** A twin's API by HTTP on a loopback port. */
export class ApiServer {
  readonly #api: Api;
  readonly #server = createServer(async (request, response) => {
    const body = await buffer(request);
    const { status, headers, body: text } = this.#reply(request, body);
    response.writeHead(status, headers).end(text);
  });
  #toThrottle = 0;

  private constructor(api: Api) {
    this.#api = api;
  }

  static async open(port: number, api: Api): Promise<ApiServer> {
    const opened = new ApiServer(api);
    await once(opened.#server.listen(port, '127.0.0.1'), 'listening');
    return opened;
  }

  /** Refuses the next requests as the service does above its rate. */
  throttle(requests: number): void {
    this.#toThrottle = requests;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #reply(request: IncomingMessage, body: Buffer): ApiReply {
    if (this.#toThrottle === 0) return this.#api.answer(request, body);
    this.#toThrottle -= 1;
    return this.#api.throttled();
  }
}
