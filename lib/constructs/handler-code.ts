import { fileURLToPath } from 'node:url';
import { AssetHashType, DockerImage } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { buildSync } from 'esbuild';
import type { FunctionName } from '#lib/constructs/names.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * `functions/<name>/handler.ts` as one module `index.mjs` with all that it imports, the SDK too: what was tested
 * is what runs. The CDK bundles it once for all stacks of an app, in this process; NodejsFunction would start
 * npx for each, which takes longer than the bundling.
 */
export function handlerCode(name: FunctionName): Code {
  const tryBundle = (folder: string): boolean => {
    buildSync({
      absWorkingDir: root,
      entryPoints: [`functions/${name}/handler.ts`],
      outfile: `${folder}/index.mjs`,
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
      alias: { '@node-rs/crc32': './lib/constructs/portable-crc32.ts' },
    });
    return true;
  };
  return Code.fromAsset(`${root}functions/${name}`, {
    // By what comes out: a change anywhere in `lib` may be one of the function.
    assetHashType: AssetHashType.OUTPUT,
    // The CDK wants an image to fall back on; there is nothing to fall back from.
    bundling: { image: DockerImage.fromRegistry('unused'), local: { tryBundle } },
  });
}
