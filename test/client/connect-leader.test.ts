import { randomUUID } from 'node:crypto';
import { getServers, setServers } from 'node:dns';
import { setTimeout as pause } from 'node:timers/promises';
import { GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { MrscAcceptor } from '#lib/aws/mrsc-acceptor.ts';
import { connectLeader } from '#lib/client/connect-leader.ts';
import { founded } from '#lib/domain/control/register.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { provisionRegister } from '#lib/local/provision.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { change, setOf, startTestDns, type TestDns, ZONE } from '../support/dns.ts';
import { E1 } from '../support/log-history.ts';
import { EU, US } from '../support/memory-group.ts';
import { startRegionRouter } from '../support/region-router.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const GROUP = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: EU }, { name: US }],
});

const systemServers = getServers();
let dns: TestDns;
let eu: RegionServers;
let router: Awaited<ReturnType<typeof startRegionRouter>>;

beforeAll(async () => {
  [eu, dns] = await Promise.all([startRegionServers(EU), startTestDns()]);
  const { controlTable: table } = await eu.provision(GROUP);
  const acceptor = new AwsAcceptor({ dynamodb: eu.clients.dynamodb, group: GROUP.group, table });
  await acceptor.join(ballot(1), founded(EU, E1, 'first'));
  await acceptor.beat({ epoch: E1, counter: 1, leaseUntilMs: Date.now() + 600_000 });
  router = await startRegionRouter({ [EU]: eu.endpoints.dynamodb }, () => {});
  vi.stubEnv('AWS_ENDPOINT_URL_DYNAMODB', router.endpoint);
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'test');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'test');
  setServers([`127.0.0.1:${dns.dnsPort}`]);
});
afterAll(async () => {
  setServers(systemServers);
  vi.unstubAllEnvs();
  await router?.[Symbol.asyncDispose]();
  await dns?.[Symbol.asyncDispose]();
  await eu?.[Symbol.asyncDispose]();
});

/** Writes an item once, at what a new record of this type names. */
async function write(
  record: string,
  type: string,
  target: string,
  endpoints?: Readonly<Record<string, string>>,
  registerTable?: string,
): Promise<void> {
  await change(dns.route53, ['CREATE', setOf(record, type, target)]);
  const name = `${record}.${ZONE}`;
  const orders = connectLeader({
    group: 'orders',
    name,
    ttlSeconds: 5,
    ...(endpoints && { endpoints }),
    ...(registerTable && { registerTable }),
  });
  const put = new PutItemCommand({ TableName: 'orders', Item: { pk: { S: record } } });
  await orders.write((dynamodb, abortSignal) => dynamodb.send(put, { abortSignal }), { idempotent: false });
}

async function isWritten(record: string): Promise<boolean> {
  const get = new GetItemCommand({ TableName: 'orders', Key: { pk: { S: record } }, ConsistentRead: true });
  return (await eu.clients.dynamodb.send(get)).Item !== undefined;
}

test.each([
  ['name', 'CNAME', 'shop-7.example.com', 'Shop-7.example.com.'],
  ['ipv4', 'A', '192.0.2.7', '192.0.2.7'],
  ['ipv6', 'AAAA', '2001:db8::7', '2001:DB8:0:0::7'],
])(
  'an endpoint of any form that the construct takes stands for its Region: %s',
  async (record, type, target, endpoint) => {
    await write(record, type, target, { [US]: 'us.example.com', [EU]: endpoint });
    expect(await isWritten(record)).toBe(true);
  },
);

test('without endpoints, what the record names begins with the Region', async () => {
  await write('by-region', 'CNAME', `${EU}.example.com`);
  expect(await isWritten('by-region')).toBe(true);
});

test('with a table of its own as the register, the lease is that of the Region’s item there', async () => {
  const { dynamodb } = eu.clients;
  const register = { kind: 'mrsc', table: 'understudy-orders-register' } as const;
  await provisionRegister(dynamodb, register);
  const { table } = register;
  const held = { dynamodb, group: GROUP.group, table, region: EU, newNonce: randomUUID };
  const acceptor = new MrscAcceptor(held);
  await acceptor.join(ballot(1), founded(EU, E1, 'first'));
  await acceptor.beat({ epoch: E1, counter: 1, leaseUntilMs: Date.now() + 600_000 });
  await write('by-register', 'CNAME', `${EU}.example.com`, undefined, table);
  expect(await isWritten('by-register')).toBe(true);
  // The control table still says that the Region leads.
  await acceptor.vote(E1, 'over');
  const refused = await Promise.race([
    write('by-no-register', 'CNAME', `${EU}.example.com`, undefined, table).then(
      () => 'written',
      (error: unknown) => String(error),
    ),
    pause(1_000).then(() => 'not written'),
  ]);
  expect(refused).not.toBe('written');
  expect(await isWritten('by-no-register')).toBe(false);
});

test('what stands for no Region ends the write at once, and says what to give', async () => {
  await expect(write('odd', 'CNAME', 'eu.example.com')).rejects.toMatchObject({
    code: 'DNS_TARGET_UNKNOWN',
    message: expect.stringMatching(/eu\.example\.com, which does not begin with a Region.*dns\.endpoints/s),
  });
  await expect(write('odder', 'A', '192.0.2.9')).rejects.toMatchObject({ code: 'DNS_TARGET_UNKNOWN' });
  await expect(write('other', 'A', '192.0.2.9', { [EU]: '192.0.2.7' })).rejects.toMatchObject({
    code: 'DNS_TARGET_UNKNOWN',
    message: expect.stringContaining('192.0.2.9, which is none of 192.0.2.7'),
  });
});

test('endpoints that are none are refused before anything is asked', () => {
  const connect = (endpoints: Readonly<Record<string, string>>) => () =>
    connectLeader({ group: 'orders', name: `orders.${ZONE}`, ttlSeconds: 5, endpoints });
  expect(connect({ Ireland: 'eu.example.com' })).toThrow(/CONFIG_INVALID/);
  expect(connect({ [EU]: 'https://eu.example.com' })).toThrow(/CONFIG_INVALID/);
});
