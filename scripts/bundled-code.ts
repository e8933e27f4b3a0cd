import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AssetHashType, DockerImage } from 'aws-cdk-lib';
import { Code } from 'aws-cdk-lib/aws-lambda';
import type { CodeOf } from '#lib/constructs/handler.ts';
import type { BundleName } from '#lib/constructs/names.ts';
import { bundle } from './bundle.ts';

/**
 * The code of a function, fresh from `functions/`. The CDK bundles it once for all stacks of an app, in this process;
 * NodejsFunction would start npx for each, which takes longer than the bundling.
 */
export function bundledCode(name: BundleName): Code {
  const tryBundle = (folder: string): boolean => bundle(name, folder) > 0;
  return Code.fromAsset(fileURLToPath(new URL(`../functions/${name}`, import.meta.url)), {
    // By what comes out: a change anywhere in `lib` may be one of the function.
    assetHashType: AssetHashType.OUTPUT,
    // The CDK wants an image to fall back on; there is nothing to fall back from.
    bundling: { image: DockerImage.fromRegistry('unused'), local: { tryBundle } },
  });
}

/** The same, bundled into `folder` and taken from there from then on: for whoever synthesizes one source again and again. */
export function bundledIn(folder: string): CodeOf {
  return (name) => {
    const bundled = join(folder, name);
    if (!existsSync(bundled)) bundle(name, bundled);
    return Code.fromAsset(bundled);
  };
}
