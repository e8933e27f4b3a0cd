import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, globSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { bundleFolder, bundlesOf, ENGINES } from '#lib/constructs/names.ts';
import { bundle } from './bundle.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const DIST = join(ROOT, 'dist');

/**
 * Makes `dist`, the form in which the package is published: Node strips no types inside of node_modules, and who
 * installs the package shall need no bundler.
 */
rmSync(DIST, { recursive: true, force: true });
const sources = globSync(['entry/*.ts', 'bin/understudy.ts', 'functions/**/*.ts', 'lib/**/*.ts'], {
  cwd: ROOT,
});
// Module by module: what is installed reads like what is developed.
buildSync({
  absWorkingDir: ROOT,
  entryPoints: sources,
  outdir: DIST,
  outbase: ROOT,
  format: 'esm',
  platform: 'node',
  target: 'node22',
});
execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.build.json'], {
  cwd: ROOT,
  stdio: 'inherit',
});
// What is read as it is.
for (const file of globSync('lib/**/*.json', { cwd: ROOT })) copyFileSync(join(ROOT, file), join(DIST, file));
chmodSync(join(DIST, 'bin/understudy.js'), 0o755);
// The modules name each other by their sources. Here, and only here, that means what was made of those.
const imports = {
  '#lib/*.ts': './lib/*.js',
  '#lib/*.json': './lib/*.json',
  '#functions/*.ts': './functions/*.js',
};
writeFileSync(join(DIST, 'package.json'), `${JSON.stringify({ type: 'module', imports }, null, 2)}\n`);

for (const engine of ENGINES) {
  for (const name of bundlesOf(engine)) {
    const label = bundleFolder(name, engine);
    const folder = join(DIST, 'bundles', label);
    mkdirSync(folder, { recursive: true });
    console.log(`${label.padEnd(24)}${(bundle(name, engine, folder) / 1e6).toFixed(2)} MB`);
  }
}
