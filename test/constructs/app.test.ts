import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BUNDLES } from '#lib/constructs/names.ts';
import { fileOf } from './stacks.ts';

const run = promisify(execFile);
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'understudy-app-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the app the way the CDK CLI does, without credentials, on a config file of the text given. */
async function synthesize(text: string, outdir: string, more: Readonly<Record<string, string>> = {}) {
  const file = join(folder, 'group.json');
  await writeFile(file, text);
  const { context } = JSON.parse(await readFile('cdk.json', 'utf8'));
  const env = {
    PATH: process.env.PATH,
    CDK_OUTDIR: outdir,
    CDK_CONTEXT_JSON: JSON.stringify({ ...context, config: file, ...more }),
  };
  return run(process.execPath, ['bin/app.ts'], { env });
}

it('bundles each function once for all Regions, into a module that needs nothing beside it', async () => {
  const outdir = join(folder, 'out');
  const { failover } = fileOf();
  const record = { ...failover.record, flip: 'data-plane' };
  const drill = { schedule: 'cron(0 10 1 * ? *)', approvedBy: 'the test', keepDays: 30 };
  await synthesize(JSON.stringify(fileOf({ failover: { ...failover, record }, drill })), outdir);
  const files = await readdir(outdir);
  expect(files.filter((name) => name.endsWith('.template.json'))).toHaveLength(3);

  const bundles = files.filter((name) => name.startsWith('asset.'));
  expect(bundles).toHaveLength(BUNDLES.length);
  for (const bundle of bundles) {
    const file = join(outdir, bundle, 'index.mjs');
    const load = `const { handler } = await import(${JSON.stringify(file)}); console.log(typeof handler);`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', load], { cwd: folder });
    expect(stdout).toBe('function\n');
    // A native build would be that of this machine, not of the one that runs the function.
    expect(await readFile(file, 'utf8')).not.toContain('.node"');
  }
});

it('takes the functions from the folder that the context names, and bundles only what is not there yet', async () => {
  const bundles = join(folder, 'bundles');
  const marked = join(bundles, BUNDLES[0], 'index.mjs');
  await mkdir(dirname(marked), { recursive: true });
  await writeFile(marked, 'export const handler = () => {};');
  const outdir = join(folder, 'kept');
  await synthesize(JSON.stringify(fileOf()), outdir, { bundles });
  const assets = (await readdir(outdir)).filter((name) => name.startsWith('asset.'));
  const codes = await Promise.all(assets.map((name) => readFile(join(outdir, name, 'index.mjs'), 'utf8')));
  expect(codes.filter((code) => code === 'export const handler = () => {};')).toHaveLength(1);
  const there = await readdir(bundles);
  expect(assets).toHaveLength(there.length);
  expect(there.length).toBeGreaterThan(1);
});

it.each([
  [
    'a Region twice',
    JSON.stringify(fileOf({ regions: [{ name: 'eu-west-1' }, { name: 'eu-west-1' }] })),
    'CONFIG_REGION_REPEATED: ',
  ],
  ['no JSON', '{', 'CONFIG_INVALID: '],
])('refuses a config file with %s in one line, without a stack trace', async (_, text, start) => {
  await expect(synthesize(text, join(folder, 'none'))).rejects.toMatchObject({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(new RegExp(`^${start}.*\\n$`)),
  });
});
