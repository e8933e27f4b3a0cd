import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { BUNDLES } from '#lib/constructs/names.ts';

const text = await readFile(new URL('../../docs/SECURITY.md', import.meta.url), 'utf8');

it('the threat model names tests that there are', () => {
  const named = new Set(text.match(/test\/[\w/.-]+\.ts/g));
  expect(named.size).toBeGreaterThan(8);
  for (const file of named) expect(existsSync(file), file).toBe(true);
});

it('the threat model says what each function may do', () => {
  for (const name of BUNDLES) expect(text).toContain(`| ${name} |`);
});
