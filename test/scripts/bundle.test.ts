import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundlesOf, ENGINES } from '#lib/constructs/names.ts';
import { bundle } from '../../scripts/bundle.ts';
import { temporaryDirectory } from '../local/until.ts';

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  folder = await temporaryDirectory();
});
afterAll(() => folder[Symbol.asyncDispose]());

const cases = ENGINES.flatMap((engine) => bundlesOf(engine).map((name) => ({ engine, name })));

test.each(cases)('$name for $engine is small, and has the code of that engine alone', ({ engine, name }) => {
  const made = join(folder.path, engine, name);
  expect(bundle(name, engine, made)).toBeLessThan(1_400_000);
  const code = readFileSync(join(made, 'index.mjs'), 'utf8');
  const has = (text: string) => code.includes(text);
  if (name === 'probe') return;
  // What only the driver says, and only the engine of tables.
  expect(has('SCRAM-SHA-256')).toBe(engine === 'postgres');
  expect(has('no fence of the engine is configured')).toBe(engine === 'dynamodb');
});
