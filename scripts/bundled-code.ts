import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AssetHashType, DockerImage } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { CodeOf } from '#lib/constructs/handler.ts';
import { type BundleName, bundleFolder, type EngineKind } from '#lib/constructs/names.ts';
import { bundle } from './bundle.ts';

/**
 * The code of a function, fresh from `functions/`. The CDK bundles it once for all stacks of an app, in this process;
 * NodejsFunction would start npx for each, which takes longer than the bundling.
 */
export function bundledCode(name: BundleName, engine: EngineKind): Code {
  const tryBundle = (folder: string): boolean => bundle(name, engine, folder) > 0;
  return Code.fromAsset(fileURLToPath(new URL(`../functions/${name}`, import.meta.url)), {
    // By what comes out: a change anywhere in `lib` may be one of the function.
    assetHashType: AssetHashType.OUTPUT,
    // The CDK wants an image to fall back on; there is nothing to fall back from.
    bundling: {
      image: DockerImage.fromRegistry('unused'),
      local: { tryBundle },
      // One source, another bundle: the CDK keeps what it has bundled by what is said here.
      ...(engine !== 'dynamodb' && { environment: { ENGINE: engine } }),
    },
  });
}

/** The same, bundled into `folder` and taken from there from then on: for whoever synthesizes one source again and again. */
export function bundledIn(folder: string): CodeOf {
  return (name, engine) => {
    const bundled = join(folder, bundleFolder(name, engine));
    if (!existsSync(bundled)) bundle(name, engine, bundled);
    return Code.fromAsset(bundled);
  };
}
