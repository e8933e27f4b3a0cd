import { once } from 'node:events';
import { createServer } from 'node:http';
import type { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';

/** The part of a request to a function's URL that is of use to one that reads nothing of it. */
export type UrlEvent = {
  readonly rawPath: string;
  readonly requestContext: { readonly http: { readonly method: string; readonly path: string } };
};

/** Serves a function's URL on 127.0.0.1, as Lambda does: a function that fails is a status of 502. */
export async function serveFunctionUrl(port: number, invoker: FunctionInvoker<UrlEvent>): Promise<void> {
  const server = createServer(async ({ method = 'GET', url = '/' }, response) => {
    const path = new URL(url, 'http://function').pathname;
    const invocation = await invoker.invoke({ rawPath: path, requestContext: { http: { method, path } } });
    const result = invocation.kind === 'returned' ? (invocation.result as { statusCode: number }) : undefined;
    response.writeHead(result?.statusCode ?? 502).end();
  });
  await once(server.listen(port, '127.0.0.1'), 'listening');
}
