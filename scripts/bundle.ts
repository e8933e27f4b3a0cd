import { statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import type { BundleName, EngineKind } from '#lib/constructs/names.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** What a function's code may weigh, bytes: a cold start reads all of it, and one is in the path of a failover. */
export const BUNDLE_MAX = 1_500_000;

/** By engine, what is left out: the module of the other one. */
const FOREIGN = { dynamodb: 'open-databases', postgres: 'open-tables' } as const;

/**
 * Bundles `functions/<name>/handler.ts` as one module `index.mjs` in `folder`, with all that it imports, the SDK too:
 * what was tested is what runs. (All of zod but what is used is left out as long as nobody imports its `z`: that is an object, and
 * stays whole.) Of the engines it has the one alone. Its source map lies beside it. Throws if it is above
 * BUNDLE_MAX. Returns its bytes.
 */
export function bundle(name: BundleName, engine: EngineKind, folder: string): number {
  const outfile = join(folder, 'index.mjs');
  buildSync({
    absWorkingDir: ROOT,
    entryPoints: [`functions/${name}/handler.ts`],
    outfile,
    bundle: true,
    minify: true,
    sourcemap: true,
    sourcesContent: false,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    // Some packages inside are CommonJS and call require(), which an ES module does not have.
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    // The native build is installed for the machine that synthesizes, not for the one that runs the function.
    alias: {
      '@node-rs/crc32': './lib/constructs/portable-crc32.ts',
      [`#functions/engines/${FOREIGN[engine]}.ts`]: './functions/engines/foreign-engine.ts',
    },
  });
  const { size } = statSync(outfile);
  if (size <= BUNDLE_MAX) return size;
  throw new Error(`the bundle of ${name} for ${engine} has ${size} bytes; ${BUNDLE_MAX} are allowed`);
}
