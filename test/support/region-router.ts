import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * One endpoint for the servers of several Regions, which AWS's SDKs take from the environment: a request goes where its
 * signature says that it is meant for.
 *
 * @param endpoints by Region. @param onRequest hears of every request.
 */
export async function startRegionRouter(
  endpoints: Readonly<Record<string, string>>,
  onRequest: (region: string, target: string) => void,
): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const server = createServer(async (asked, answer) => {
    const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(asked.headers.authorization ?? '')?.[1] ?? '';
    onRequest(region, String(asked.headers['x-amz-target']));
    const { hostname, port } = new URL(endpoints[region]!);
    const { headers, method, url } = asked;
    const onward = request({ hostname, port, method, path: url, headers });
    asked.pipe(onward);
    const [answered] = await once(onward, 'response');
    answer.writeHead(answered.statusCode, answered.headers);
    answered.pipe(answer);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
