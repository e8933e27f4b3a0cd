/** TLS in front of the Regions' processes. Argument: JSON of RouterOptions. */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { createServer } from 'node:https';
import { serveParent } from '#lib/local/parent.ts';

export type RouterOptions = {
  readonly port: number;
  readonly certificateFile: string;
  readonly keyFile: string;
  /** Port of each Region's process. */
  readonly regions: Readonly<Record<string, number>>;
};

const { port, certificateFile, keyFile, regions } = JSON.parse(process.argv[2]!) as RouterOptions;

/** The Region of the credential scope: in the header, or in the query of a presigned URL. */
const SCOPE = /Credential=[^/&,]+(?:\/|%2F)\d{8}(?:\/|%2F)([a-z0-9-]+)/i;
/** Where requests without a signature go. */
const HOME = 'us-east-1';

const agent = new Agent({ keepAlive: true, maxSockets: 512 });

const server = createServer(
  { cert: readFileSync(certificateFile), key: readFileSync(keyFile) },
  (received, answer) => {
    const { headers, method, url = '/' } = received;
    const region = SCOPE.exec(headers.authorization ?? url)?.[1] ?? HOME;
    const target = regions[region];
    if (target === undefined) {
      answer.writeHead(404, { 'content-type': 'text/plain' }).end(`this cloud has no Region ${region}\n`);
      return;
    }
    const forwarded = request({
      host: '127.0.0.1',
      port: target,
      method,
      path: url,
      // The signature covers the host that the client has asked.
      headers: { ...headers, 'x-forwarded-proto': 'https' },
      agent,
    });
    forwarded.on('response', (response) => {
      answer.writeHead(response.statusCode!, response.headers);
      response.on('error', () => answer.destroy());
      response.pipe(answer);
    });
    forwarded.on('error', () => {
      if (answer.headersSent) answer.destroy();
      else answer.writeHead(503).end();
    });
    answer.on('close', () => forwarded.destroy());
    received.on('error', () => forwarded.destroy());
    received.pipe(forwarded);
  },
);
server.keepAliveTimeout = 60_000;
server.listen(port, '127.0.0.1', serveParent);
