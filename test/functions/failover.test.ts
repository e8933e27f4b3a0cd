import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const REGIONS = [parseRegionId('eu-west-1'), parseRegionId('us-east-1')];
const INPUT = {
  group: 'orders',
  epoch: 7,
  kind: 'failover',
  run: 'orders-8-eu-west-1',
  trigger: 'votes',
  approval: false,
};
const context = { getRemainingTimeInMillis: () => 60_000 } as Context;

let servers: RegionServers;
let invoke: (event: unknown) => Promise<unknown>;

beforeAll(async () => {
  servers = await startRegionServers(REGIONS[0]!);
  const regions = REGIONS.map((name) => ({ name }));
  const key = [{ name: 'pk', type: 'S' }] as const;
  const group = {
    group: parseGroupId('orders'),
    engine: { kind: 'dynamodb' as const, table: 'orders', key },
    regions,
    witnesses: [],
  };
  const { logTable, controlTable, bucket, failureQueueUrl } = await servers.provision(group);
  const config = {
    ...group,
    region: REGIONS[0],
    regions: regions.map((each) => ({ ...each, bucket })),
    logTable,
    controlTable,
    failureQueueUrl,
  };
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(config));
  const endpoints = Object.fromEntries(REGIONS.map((name) => [name, servers.endpoints]));
  vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify(endpoints));
  const { writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo(() => {});
  const { handler } = await import('#functions/failover/handler.ts');
  invoke = (event) => (handler as (event: unknown, context: Context) => Promise<unknown>)(event, context);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await servers[Symbol.asyncDispose]();
});

describe('the failover function', () => {
  test('takes the step that it is asked for, and says how often it has', async () => {
    const refused = { outcome: 'refused', code: 'REGIONS_TOO_FEW' };
    const first = await invoke({ step: 'claim', state: { input: INPUT } });
    expect(first).toMatchObject({ ...refused, tries: 1 });
    expect(await invoke({ step: 'claim', state: { input: INPUT, claim: first } })).toMatchObject({
      ...refused,
      tries: 2,
    });
  });

  test('asks for approval, and tells the answer once there is one', async () => {
    const { theRuntime } = await import('#functions/runtime.ts');
    const approvals = theRuntime().peers.approvals(REGIONS[0]!);
    const event = { step: 'approve', state: { input: { ...INPUT, approval: true } }, token: 'local:1' };
    expect(await invoke(event)).toEqual({ outcome: 'waiting' });
    expect(await approvals.pending()).toMatchObject({ input: { run: INPUT.run } });
    await approvals.answer(INPUT.run, { outcome: 'approved', by: 'mia' });
    expect(await invoke(event)).toEqual({ outcome: 'approved', by: 'mia' });
  });

  test('fails by the name of the code, which is what Step Functions shows', async () => {
    // A promotion of nobody: the group has no register yet.
    const elected = { outcome: 'elected', winner: 'us-east-1', pullFrom: [], candidates: [] };
    const event = { step: 'promote', state: { input: INPUT, elect: elected } };
    await expect(invoke(event)).rejects.toMatchObject({
      name: 'GROUP_NOT_FOUNDED',
      message: expect.stringContaining('GROUP_NOT_FOUNDED: the group has no leader yet'),
      cause: { code: 'GROUP_NOT_FOUNDED' },
    });
  });
});
