import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const REGIONS = ['eu-west-1', 'eu-west-2', 'eu-west-3'].map(parseRegionId);
const EU = REGIONS[0]!;
const NOWHERE = 'http://127.0.0.1:1';

let servers: RegionServers;
let invoke: () => Promise<unknown>;
/** Kinds of what it has told. */
const told: string[] = [];

beforeAll(async () => {
  servers = await startRegionServers(EU);
  const group = parseGroup({
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
    regions: REGIONS.map((name) => ({ name })),
    register: { kind: 'mrsc', table: 'understudy-orders-register' },
  });
  const { bucket, controlTable, logTable } = await servers.provision(group);
  const regions = REGIONS.map((name: RegionId) => ({ name, bucket }));
  const failover = {
    profile: 'fast',
    fence: { exempt: ['arn:aws:iam::000000000000:role/understudy'] },
    stateMachineArn: 'arn:aws:states:eu-west-1:000000000000:stateMachine:failover',
  };
  vi.stubEnv(
    'UNDERSTUDY_CONFIG',
    JSON.stringify({ ...group, region: EU, regions, logTable, controlTable, failover }),
  );
  const away = { ...servers.endpoints, dynamodb: NOWHERE, s3: NOWHERE };
  vi.stubEnv(
    'UNDERSTUDY_ENDPOINTS',
    JSON.stringify({
      ...Object.fromEntries(REGIONS.map((region) => [region, away])),
      [EU]: { ...servers.endpoints, register: NOWHERE },
    }),
  );
  const { theRuntime, writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo((line) => told.push(JSON.parse(line).kind));
  await theRuntime().control.nameLeader({ epoch: parseEpoch(1), leader: EU });
  const { handler } = await import('#functions/sentinel/handler.ts');
  // It may look until it has told what it is to tell, or for ten seconds.
  const endMs = Date.now() + 10_000;
  const getRemainingTimeInMillis = () => (told.includes('lease-lost') ? 0 : 4_000 + endMs - Date.now());
  invoke = () =>
    (handler as (event: unknown, context: Context) => Promise<unknown>)({ kind: 'tick' }, {
      getRemainingTimeInMillis,
    } as Context);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await servers?.[Symbol.asyncDispose]();
});

test('an invocation that begins while the Region reaches no register looks on, until it knows that no lease is left', async () => {
  await invoke();
  expect(told).toContain('look-failed');
  expect(told).toContain('lease-lost');
});
