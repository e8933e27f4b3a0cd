import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { demoEngineOf } from '#lib/cli/demo-engine.ts';

const engineOf = (options: Parameters<typeof demoEngineOf>[0]) => demoEngineOf(options, () => {});

test('what is replicated is a table, or with --engine postgres databases with the tables of a bank', async () => {
  expect(await engineOf({})).toEqual({
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
  });
  expect(await engineOf({ engine: 'postgres' })).toMatchObject({
    engine: { kind: 'postgres', slot: 'understudy_demo', guard: 'strict' },
    schema: expect.stringContaining('accounts'),
  });
});

test.each(['off', 'on', 'strict'])('the guard of its databases may be %s', async (guard) => {
  expect(await engineOf({ engine: 'postgres', guard })).toMatchObject({ engine: { guard } });
});

test('a file of SQL is read before anything is started, and goes to databases', async () => {
  const load = fileURLToPath(new URL('../local/load/shop.sql', import.meta.url));
  const said: string[] = [];
  const made = await demoEngineOf({ engine: 'postgres', load }, (line) => said.push(line));
  expect(made).toMatchObject({ engine: { kind: 'postgres' }, sqlFile: load });
  expect(said).toEqual([expect.stringMatching(/shop\.sql: 24 statements, and 5 rows of COPY/)]);
  await expect(engineOf({ engine: 'postgres', load: `${load}.none` })).rejects.toMatchObject({
    code: 'LOAD_FILE_UNREADABLE',
  });
});

test.each([
  [{ engine: 'oracle' }, 'oracle'],
  [{ engine: 'postgres', key: 'pk' }, '--key'],
  [{ guard: 'on' }, '--guard'],
  [{ engine: 'postgres', guard: 'sometimes' }, '--guard sometimes'],
])('%j is refused', async (options, says) => {
  await expect(engineOf(options)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(says),
  });
});
