import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLES, bundlesOf } from '#lib/constructs/names.ts';

/**
 * Packs the package, installs it in a fresh CDK app outside of this repository, and uses it as its README says: types,
 * synthesis, client, embedded cloud, command line. Whatever fails ends it.
 */
const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const folder = mkdtempSync(join(tmpdir(), 'understudy-package-'));
// This very Node, whatever the host has.
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };

function run(cwd: string, command: string, ...args: readonly string[]): string {
  return execFileSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function expect(what: string, isSo: boolean): void {
  if (!isSo) throw new Error(`the package does not work as it should: ${what}`);
  console.log(`ok  ${what}`);
}

/** What an app makes of itself. */
function synthesized(app: string): {
  readonly assets: readonly string[];
  readonly templates: readonly string[];
} {
  const outdir = join(folder, `${app}.out`);
  execFileSync(process.execPath, [app], {
    cwd: folder,
    env: { ...env, CDK_OUTDIR: outdir },
    stdio: 'inherit',
  });
  const made = readdirSync(outdir);
  return {
    assets: made.filter((name) => name.startsWith('asset.')),
    templates: made.filter((name) => name.endsWith('.template.json')),
  };
}

try {
  const packed = run(ROOT, 'npm', 'pack', '--json', '--pack-destination', folder);
  const [{ filename, files }] = JSON.parse(packed.slice(packed.indexOf('[')));
  const paths = files.map(({ path }: { path: string }) => path);
  expect(`${filename}: ${paths.length} files`, paths.includes('dist/entry/constructs.js'));
  const sources = paths.filter((path: string) => /(?<!\.d)\.ts$/.test(path));
  expect('it holds no source that Node would have to strip types from', sources.length === 0);

  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }));
  const cdk = ['aws-cdk-lib', 'constructs', 'typescript', '@types/node'].map(
    (name) => `${name}@${devDependencies[name]}`,
  );
  run(folder, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`, ...cdk);
  expect('it installs beside a CDK', true);

  for (const name of ['app.ts', 'application.ts', 'databases.ts', 'five-lines.ts']) {
    copyFileSync(join(ROOT, 'test/package', name), join(folder, name));
  }
  const options = { module: 'nodenext', target: 'es2022', strict: true, skipLibCheck: true, types: ['node'] };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: options, include: ['*.ts'] }),
  );
  run(folder, 'npx', 'tsc');
  expect('its types fit the ten lines of a group, and the five of a client', true);

  const began = performance.now();
  const { assets, templates } = synthesized('app.js');
  const took = (performance.now() - began) / 1000;
  expect(`the ten lines make ${templates.length} stacks in ${took.toFixed(1)} s`, templates.length === 3);
  expect('within 15 s', took <= 15);
  // No health check moves its DNS record, and no drill is scheduled: all but `leads` and `drill`.
  expect(
    `with the code of ${assets.length} functions, without a bundler`,
    assets.length === BUNDLES.length - 2,
  );
  const databases = synthesized('databases.js');
  // Beside the user's own stack; and no fence of a table to be tried by `probe`.
  expect(
    `a group of databases makes ${databases.templates.length - 1} stacks, with the code of ${databases.assets.length} functions`,
    databases.templates.length === 4 && databases.assets.length === bundlesOf('postgres').length - 2,
  );

  expect(
    'the client is there, and the embedded cloud starts',
    run(folder, process.execPath, 'application.js').includes('epoch 1'),
  );
  expect('the command line answers', run(folder, 'npx', 'understudy', '--help').includes('failover'));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
