/** Entry point of the network's process: hosts all links and obeys the `Network` of its parent. */
import { Link } from '#lib/local/link.ts';
import type { LinkSpec, NetworkMessage, NetworkReply, NetworkRequest } from '#lib/local/network.ts';
import { serveParent, tellParent } from '#lib/local/parent.ts';

const links: (Pick<LinkSpec, 'from' | 'to'> & { readonly link: Link })[] = [];

async function obey(request: NetworkRequest): Promise<void> {
  switch (request.kind) {
    case 'open':
      for (const { from, to, port, targetPort } of request.links) {
        links.push({ from, to, link: await Link.open({ port, targetPort, settings: request.settings }) });
      }
      return;
    case 'set':
      for (const { from, to, link } of links) {
        if (matches(request.from, from) && matches(request.to, to)) link.set(request.patch);
      }
  }
}

function matches(pattern: string, region: string): boolean {
  return pattern === '*' || pattern === region;
}

process.on('message', async ({ id, request }: NetworkMessage) => {
  let reply: NetworkReply = { id };
  try {
    await obey(request);
  } catch (error) {
    reply = { id, error: String(error) };
  }
  tellParent(reply);
});
serveParent();
