/**
 * Loaded before an application that is run from this repository as if the package were installed: its imports of
 * `understudy/client` are the source, and DNS is asked of the server in TEST_DNS.
 */
import { setServers } from 'node:dns';
import { registerHooks } from 'node:module';

const CLIENT = new URL('../../entry/client.ts', import.meta.url).href;

setServers([process.env.TEST_DNS!]);
registerHooks({
  resolve: (specifier, context, next) =>
    next(specifier === 'understudy/client' ? CLIENT : specifier, context),
});
