import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { AwsPeers } from '#lib/aws/aws-peers.ts';
import { readConfig } from '#lib/aws/config.ts';
import { findGroup } from '#lib/cli/find-group.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { temporaryDirectory } from '../local/until.ts';
import { EU, US } from '../support/memory-group.ts';
import { startRegionRouter } from '../support/region-router.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';
import { jsonLines, understudy } from './run.ts';

const WITNESS = 'eu-central-1';
const FUNCTION = 'understudy-orders-sentinel';

/** Lambda of all Regions: what each says of its functions, by Region. */
let lambda: Server;
let told: Map<string, object>;
let env: Record<string, string>;

beforeAll(async () => {
  lambda = createServer((asked, answer) => {
    const region = /Credential=[^/]+\/\d+\/([^/]+)\//.exec(asked.headers.authorization ?? '')?.[1] ?? '';
    const config = asked.url?.includes(`/functions/${FUNCTION}/`) ? told.get(region) : undefined;
    answer.setHeader('content-type', 'application/json');
    if (config === undefined) {
      answer.writeHead(404, { 'x-amzn-errortype': 'ResourceNotFoundException' });
      return answer.end(JSON.stringify({ Message: `Function not found in ${region}` }));
    }
    const Variables = { UNDERSTUDY_CONFIG: JSON.stringify(config) };
    return answer.end(JSON.stringify({ FunctionName: FUNCTION, Environment: { Variables } }));
  }).listen(0, '127.0.0.1');
  await once(lambda, 'listening');
  env = {
    AWS_ENDPOINT_URL_LAMBDA: `http://127.0.0.1:${(lambda.address() as AddressInfo).port}`,
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  };
});
afterAll(() => {
  lambda.closeAllConnections();
  lambda.close();
});
beforeEach(() => {
  told = new Map();
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

test('a deployed group is described by whichever of the named Regions answers', async () => {
  const config = { group: 'orders', region: US, witnesses: [WITNESS] };
  told.set(US, config);
  const found = await findGroup({ group: `orders@${EU},${US}` });
  expect(found).toEqual({ pid: process.pid, config, isWatched: true, endpoints: {} });
});

test('a witness is not asked what a replica knows', async () => {
  told.set(WITNESS, { group: 'orders', region: WITNESS, witnesses: [WITNESS] });
  await expect(findGroup({ group: `orders@${WITNESS},${EU}` })).rejects.toThrow(
    /^GROUP_NOT_FOUND: .*eu-central-1: it is a witness there; eu-west-1: Function not found in eu-west-1\. /,
  );
});

test('what is no function of a group is not taken for one', async () => {
  told.set(EU, ['another', 'application']);
  await expect(findGroup({ group: `orders@${EU}` })).rejects.toThrow(/^GROUP_NOT_FOUND: /);
});

test.each([
  ['orders', 'Region "" is not valid'],
  ['orders@mars', 'Region "mars" is not valid'],
  [`orders@${EU}@${US}`, 'Region "eu-west-1@us-east-1" is not valid'],
  [`@${EU}`, 'group "" is not valid'],
])('refuses --group %s and says how a group is named', async (group, message) => {
  await expect(findGroup({ group })).rejects.toThrow(`CONFIG_INVALID: ${message}`);
});

test('refuses two groups at once', async () => {
  await expect(findGroup({ group: `orders@${EU}`, cloud: 'cloud.json' })).rejects.toThrow(
    /^CONFIG_INVALID: --group and --cloud/,
  );
});

test('a command acts on the deployed group, by the SDK’s own endpoints and credentials', async () => {
  await using stack = new AsyncDisposableStack();
  const servers: RegionServers[] = [];
  for (const region of [EU, US]) servers.push(stack.use(await startRegionServers(region)));
  const tmp = stack.use(await temporaryDirectory());
  const endpoints = Object.fromEntries(servers.map((each) => [each.region, each.endpoints]));
  const router = stack.use(
    await startRegionRouter(
      Object.fromEntries(servers.map((each) => [each.region, each.endpoints.dynamodb])),
      () => {},
    ),
  );
  const group = parseGroup({
    group: 'orders',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: [{ name: EU }, { name: US }],
  });
  const made = await Promise.all(servers.map((each) => each.provision(group)));
  const config = {
    ...group,
    region: EU,
    regions: servers.map(({ region }, index) => ({ name: region, bucket: made[index]!.bucket })),
    logTable: made[0]!.logTable,
    controlTable: made[0]!.controlTable,
  };
  const peers = new AwsPeers(
    readConfig({
      UNDERSTUDY_CONFIG: JSON.stringify(config),
      UNDERSTUDY_ENDPOINTS: JSON.stringify(endpoints),
    }),
    STAMP_ATTRIBUTE,
  );
  stack.defer(() => peers.destroy());
  for (const region of [EU, US]) {
    await peers.control(region).nameLeader({ epoch: parseEpoch(1), leader: EU });
  }
  told.set(EU, config);
  const lag = understudy(['lag', '--json', '--group', `orders@${EU}`], tmp.path, {
    ...env,
    AWS_ENDPOINT_URL_DYNAMODB: router.endpoint,
  });
  const { stderr, stdout } = await lag.finished;
  expect(stderr).toBe('');
  expect(jsonLines(stdout)).toMatchObject([
    { region: EU, role: 'leader', end: { lsn: '0' } },
    { region: US, role: 'follower', end: { lsn: '0' } },
  ]);
});
