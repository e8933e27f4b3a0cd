/**
 * Entry point of the S3 server's process. Arguments: port, directory.
 *
 * The server has two habits that would break ours: it listens on every interface, and it ignores the
 * preconditions of a PUT. Its HTTP framework publishes each new app on a diagnostics channel, where both are
 * mended before the first route is there.
 */
import { subscribe } from 'node:diagnostics_channel';
import { startFauxqs } from 'fauxqs';
import { serveParent } from '#lib/local/parent.ts';
import { addPreconditions, type Route } from '#lib/local/s3-preconditions.ts';

type App = {
  listen(options: { port: number; host: string }): Promise<string>;
  addHook(name: 'onRoute', hook: (route: Route) => void): void;
};

subscribe('fastify.initialization', (message) => {
  const app = (message as { readonly fastify: App }).fastify;
  const listen = app.listen.bind(app);
  app.listen = (options) => listen({ ...options, host: '127.0.0.1' });
  app.addHook('onRoute', addPreconditions());
});

const [port, dataDir] = process.argv.slice(2);
if (dataDir === undefined) throw new TypeError('usage: s3-process.ts PORT DIRECTORY');
await startFauxqs({ port: Number(port), logger: false, dataDir });
serveParent();
