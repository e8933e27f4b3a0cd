import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type ControlGroup, ControlWorld } from '../cli/control-world.ts';
import { EU } from '../support/memory-group.ts';

const context = { getRemainingTimeInMillis: () => 600_000 } as Context;

let world: ControlWorld;
let group: ControlGroup;
let invoke: (event: unknown) => Promise<unknown>;
let start: () => Promise<'started'>;
const lines: string[] = [];
beforeAll(async () => {
  world = await ControlWorld.start();
  group = await world.group();
  await group.found();
  const drill = { approvedBy: 'the test' };
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify({ ...group.config, region: EU, drill }));
  vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify(group.endpoints));
  const { writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo((line) => lines.push(line));
  const { handler, runDrillsBy } = await import('#functions/drill/handler.ts');
  runDrillsBy(() => ({ start: () => start(), stopOf: async () => undefined }));
  invoke = (event) => (handler as (event: unknown, context: Context) => Promise<unknown>)(event, context);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await world?.[Symbol.asyncDispose]();
});

test('a drill that fails fails the invocation, which is what its alarm waits for, and says where its report is', async () => {
  start = async () => {
    throw new Error('AccessDenied');
  };
  const due = '2030-01-01T10:00:00Z';
  await expect(invoke({ kind: 'drill', due })).rejects.toThrow(
    new RegExp(`^DRILL_FAILED: the drill of ${due} failed: .*AccessDenied.* s3://.*/${due}/report.json`, 's'),
  );
  expect(lines.join('')).toContain('"outcome":"failed"');
});

test('a drill that is refused does not: nothing was started', async () => {
  start = () => Promise.reject(new Error('nobody starts it'));
  expect((await group.run(['pause', '--reason', 'a release'])).status).toBe(0);
  expect(await invoke({ kind: 'drill', due: '2030-01-02T10:00:00Z' })).toMatchObject({
    outcome: 'kept',
    report: { outcome: 'refused' },
  });
});
