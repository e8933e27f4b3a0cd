import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { GetItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { founded } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { until } from '../local/until.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { change, setOf, startTestDns, type TestDns } from '../support/dns.ts';
import { E1, E2 } from '../support/log-history.ts';
import { EU, US } from '../support/memory-group.ts';
import { startRegionRouter } from '../support/region-router.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const SNIPPET = new URL('../package/five-lines.ts', import.meta.url);
const GROUP = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: EU }, { name: US }],
});

const servers = new Map<RegionId, RegionServers>();
const acceptors = new Map<RegionId, AwsAcceptor>();
/** Every request of the application, as `<Region> <operation>`. */
const asked: string[] = [];
let dns: TestDns;
let router: Awaited<ReturnType<typeof startRegionRouter>>;

beforeAll(async () => {
  const [eu, us, zone] = await Promise.all([
    startRegionServers(EU),
    startRegionServers(US),
    startTestDns({ zone: 'example.com' }),
  ]);
  dns = zone;
  for (const server of [eu, us]) {
    servers.set(server.region, server);
    const { controlTable: table } = await server.provision(GROUP);
    const { dynamodb } = server.clients;
    acceptors.set(server.region, new AwsAcceptor({ dynamodb, group: GROUP.group, table }));
  }
  router = await startRegionRouter({ [EU]: eu.endpoints.dynamodb, [US]: us.endpoints.dynamodb }, (...each) =>
    asked.push(each.join(' ').replace('DynamoDB_20120810.', '')),
  );
});
afterAll(async () => {
  await router?.[Symbol.asyncDispose]();
  await dns?.[Symbol.asyncDispose]();
  await Promise.all([...servers.values()].map((server) => server[Symbol.asyncDispose]()));
});
beforeEach(() => {
  asked.length = 0;
});

/** What a failover does last: DNS names the endpoint of `region`. */
async function point(region: RegionId): Promise<void> {
  const record = setOf('orders', 'CNAME', `${region}.orders.example.com`);
  const Name = 'orders.example.com';
  await change(dns.route53, ['UPSERT', { ...record, Name }]);
}

/** Runs the snippet as an application of its own would; resolves with what it wrote to stderr, if it failed. */
async function runSnippet(): Promise<string> {
  const preload = new URL('../support/as-installed.ts', import.meta.url);
  const application = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--import', preload.href, fileURLToPath(SNIPPET)],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        PATH: process.env.PATH,
        TEST_DNS: `127.0.0.1:${dns.dnsPort}`,
        AWS_ENDPOINT_URL_DYNAMODB: router.endpoint,
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
      },
    },
  );
  let stderr = '';
  application.stderr.on('data', (text) => {
    stderr += String(text);
  });
  const [code] = await once(application, 'exit');
  return code === 0 ? '' : stderr || `exit status ${code}`;
}

async function itemIn(region: RegionId): Promise<unknown> {
  const get = new GetItemCommand({ TableName: 'orders', Key: { pk: { S: '1' } }, ConsistentRead: true });
  return (await servers.get(region)!.clients.dynamodb.send(get)).Item;
}

describe('the five lines by which an application adopts the client', () => {
  test('are those that the README shows', async () => {
    const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
    expect(readme).toContain(`\`\`\`ts\n${await readFile(SNIPPET, 'utf8')}\`\`\``);
  });

  test('follow the leader to its next Region: nothing is written where the lease is over', async () => {
    const [eu, us] = [acceptors.get(EU)!, acceptors.get(US)!];
    await eu.join(ballot(1), founded(EU, E1, 'first'));
    await eu.beat({ epoch: E1, counter: 1, leaseUntilMs: Date.now() - 1 });
    await point(EU);
    const application = runSnippet();
    await until('the application has asked the old leader twice', () => asked.length >= 2);
    expect(new Set(asked)).toEqual(new Set([`${EU} GetItem`]));

    await us.join(ballot(1), founded(US, E1, 'first'));
    await us.vote(E1, 'over');
    await us.accept(ballot(2), founded(US, E2, 'second'));
    await us.beat({ epoch: E2, counter: 1, leaseUntilMs: Date.now() + 60_000 });
    await point(US);
    expect(await application).toBe('');
    // On a slow machine it looks once more, after the write.
    const inUs = asked.filter((each) => each.startsWith(US));
    expect(inUs.slice(0, 2)).toEqual([`${US} GetItem`, `${US} PutItem`]);
    expect(asked.filter((each) => each.endsWith('PutItem'))).toHaveLength(1);
    expect(await itemIn(US)).toEqual({ pk: { S: '1' }, total: { N: '42' } });
    expect(await itemIn(EU)).toBeUndefined();
  });
});
