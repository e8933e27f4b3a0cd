import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { type BundleName, bundleFolder, type EngineKind } from '#lib/constructs/names.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** The code of a function as the package brings it, in `bundles` beside the package's `lib`. */
export function prebuiltCode(name: BundleName, engine: EngineKind): Code {
  const folder = fileURLToPath(new URL(`../../bundles/${bundleFolder(name, engine)}`, import.meta.url));
  if (existsSync(folder)) return Code.fromAsset(folder);
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `code: there is no bundle ${folder}`,
    'Use the published package, or, in a checkout of Understudy, give the prop code as bin/app.ts does.',
  );
}
