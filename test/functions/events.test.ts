import type { Context } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const CONFIG = {
  group: 'orders',
  region: 'eu-west-1',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [
    { name: 'eu-west-1', bucket: 'bucket-eu' },
    { name: 'us-east-1', bucket: 'bucket-us' },
  ],
  logTable: 'log-table',
  controlTable: 'control-table',
  failureQueueUrl: 'http://127.0.0.1:1/failures',
};
const context = { getRemainingTimeInMillis: () => 60_000 } as Context;

const RUN = {
  group: 'orders',
  epoch: 7,
  kind: 'failover',
  run: 'orders-8-eu-west-1',
  trigger: 'votes',
  approval: false,
};

type Handler = (event: unknown, context: Context) => Promise<unknown>;
const HANDLERS: Readonly<Record<string, () => Promise<{ handler: unknown }>>> = {
  capture: () => import('#functions/capture/handler.ts'),
  relay: () => import('#functions/relay/handler.ts'),
  apply: () => import('#functions/apply/handler.ts'),
  sentinel: () => import('#functions/sentinel/handler.ts'),
  failover: () => import('#functions/failover/handler.ts'),
};

let lines: string[];
beforeEach(async () => {
  // The runtime is made once a process: each test is to be a process of its own.
  vi.resetModules();
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(CONFIG));
  lines = [];
  const { writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo((line) => lines.push(line));
});
afterEach(() => {
  vi.unstubAllEnvs();
});

async function invoke(name: string, event: unknown): Promise<unknown> {
  const { handler } = await HANDLERS[name]!();
  return (handler as Handler)(event, context);
}

describe('an event of the wrong shape', () => {
  test.each([
    ['capture', {}],
    ['capture', { kind: 'tick' }],
    ['capture', { Records: 'secret' }],
    ['capture', { Records: ['secret'], shardId: 's' }],
    ['capture', { Records: [], shardId: 7 }],
    ['capture', null],
    ['relay', {}],
    ['relay', { kind: 'tock' }],
    ['apply', { Records: 'secret' }],
    ['sentinel', { Records: [] }],
    ['sentinel', undefined],
    ['failover', { kind: 'tick' }],
    ['failover', { step: 'claim', state: {} }],
    ['failover', { step: 'clam', state: { input: RUN } }],
    ['failover', { step: 'approve', state: { input: RUN } }],
    ['failover', { step: 'claim', state: { input: { ...RUN, epoch: '7' } } }],
    ['failover', { step: 'claim', state: { input: { ...RUN, forced: true } } }],
    ['failover', { step: 'claim', state: { input: { ...RUN, group: 'billing' } } }],
    ['failover', { step: 'claim', state: { input: { ...RUN, successor: 'ca-west-1' } } }],
  ])('is refused by %s: %j', async (name, event) => {
    await expect(invoke(name, event)).rejects.toThrow(/^EVENT_INVALID: /);
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({
        kind: 'failed',
        function: name,
        group: 'orders',
        region: 'eu-west-1',
        code: 'EVENT_INVALID',
        runbook: 'docs/RUNBOOK.md#event_invalid',
      }),
    ]);
    expect(lines.join()).not.toContain('secret');
  });
});

test('a batch that does not name its shard is refused', async () => {
  await expect(invoke('capture', { Records: [] })).rejects.toMatchObject({ code: 'CAPTURE_SHARD_UNKNOWN' });
  expect(lines.join()).toContain('CAPTURE_SHARD_UNKNOWN');
});

describe('a broken configuration', () => {
  test.each(['capture', 'relay', 'apply', 'sentinel'])('fails each invocation of %s', async (name) => {
    const event = name === 'capture' ? { Records: [], shardId: 's' } : { kind: 'tick' };
    vi.stubEnv('UNDERSTUDY_CONFIG', undefined);
    for (let i = 0; i < 2; i++)
      await expect(invoke(name, event)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    vi.stubEnv('UNDERSTUDY_CONFIG', '{"group":');
    await expect(invoke(name, event)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    vi.stubEnv(
      'UNDERSTUDY_CONFIG',
      JSON.stringify({ ...CONFIG, regions: [CONFIG.regions[0], CONFIG.regions[0]] }),
    );
    await expect(invoke(name, event)).rejects.toMatchObject({ code: 'CONFIG_REGION_REPEATED' });
  });

  test('once it is mended, the same process goes on', async () => {
    vi.stubEnv('UNDERSTUDY_CONFIG', undefined);
    await expect(invoke('capture', { Records: [], shardId: 's' })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
    vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(CONFIG));
    await expect(invoke('capture', { Records: [] })).rejects.toMatchObject({ code: 'CAPTURE_SHARD_UNKNOWN' });
  });
});
