import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { postgresPrepareCommand } from '#lib/cli/postgres-prepare.ts';
import { Engine } from '#lib/constructs/engine.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { ACCOUNT, CODE, settingsOf, testApp } from '../constructs/stacks.ts';
import { temporaryDirectory, until } from '../local/until.ts';
import { type FakeSecrets, startFakeSecrets } from '../support/fake-secrets.ts';
import { startTlsPostgres, type TlsPostgres } from '../support/postgres-tls.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const REGIONS = ['eu-west-1', 'us-east-1'].map(parseRegionId);
const [EU, US] = REGIONS as [RegionId, RegionId];
const WITNESS = 'eu-central-1';
const FUNCTIONS = ['capture', 'relay', 'apply', 'sentinel'] as const;
const tick = { kind: 'tick' };

type Site = {
  readonly servers: RegionServers;
  readonly postgres: TlsPostgres;
  readonly secrets: FakeSecrets;
};
type Handlers = Readonly<
  Record<(typeof FUNCTIONS)[number], (event: unknown, ms?: number) => Promise<unknown>>
>;

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let authority: string;
const sites = new Map<RegionId, Site>();
const handlers = new Map<RegionId, Handlers>();
/** All that the functions have written to their log groups; and since when a test looks. */
const lines: string[] = [];
let seen = 0;
const at = (region: RegionId) => ({ ...sites.get(region)!, ...handlers.get(region)! });

beforeAll(async () => {
  for (const region of REGIONS) {
    const [servers, postgres, secrets] = await Promise.all([
      startRegionServers(region),
      startTlsPostgres(),
      startFakeSecrets(),
    ]);
    sites.set(region, { servers, postgres, secrets });
    await postgres.sql(`CREATE ROLE understudy SUPERUSER LOGIN PASSWORD 'first-${region}'`);
    await postgres.sql('CREATE TABLE account (id int PRIMARY KEY, balance int)');
    secrets.values.set('orders/understudy', secretOf(`first-${region}`));
    const url = postgres.server.url();
    await postgresPrepareCommand({ group: 'orders', url, publication: 'understudy', slot: 'understudy' });
  }
  folder = await temporaryDirectory();
  authority = join(folder.path, 'authorities.pem');
  const all = [...sites.values()].map(({ postgres }) => readFile(postgres.authority, 'utf8'));
  await writeFile(authority, (await Promise.all(all)).join(''));
  await deploy();
}, 120_000);
afterAll(async () => {
  vi.unstubAllEnvs();
  for (const { servers, postgres, secrets } of sites.values()) {
    for (const each of [servers, postgres, secrets]) await each[Symbol.asyncDispose]();
  }
  await folder?.[Symbol.asyncDispose]();
});

const secretOf = (password: string) => JSON.stringify({ username: 'understudy', password });

/** Has the handlers of both Regions run with what the construct tells them. */
async function deploy(): Promise<void> {
  const { app, templates } = testApp();
  const network = { vpc: { vpcId: 'vpc-0123abcd' }, subnets: ['subnet-0123aaaa'] };
  const group = new ReplicationGroup(app, 'orders', {
    regions: REGIONS,
    witness: WITNESS,
    engine: Engine.postgres({
      databases: Object.fromEntries(
        REGIONS.map((region) => [
          region,
          {
            server: { host: 'localhost', port: at(region).postgres.server.port },
            database: 'postgres',
            role: 'understudy',
            secret: 'orders/understudy',
          },
        ]),
      ),
      network: Object.fromEntries([...REGIONS, WITNESS].map((region) => [region, network])),
    }),
    account: ACCOUNT,
    code: CODE,
  });
  const made = templates(group);
  const endpoints: Record<string, object> = {};
  for (const [index, region] of REGIONS.entries()) {
    const text = settingsOf(made[index]!, 'understudy-orders-capture');
    const { buckets, controlTable, logTable, ...config } = readConfig({ UNDERSTUDY_CONFIG: text });
    const { servers, secrets } = at(region);
    await servers.provision(config, { bucket: buckets[region]!, controlTable, logTable });
    endpoints[region] = { ...servers.endpoints, secrets: secrets.endpoint };
  }
  endpoints[WITNESS] = { dynamodb: 'http://127.0.0.1:1' };
  vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify(endpoints));
  for (const [index, region] of REGIONS.entries()) {
    handlers.set(region, await handlersOf(settingsOf(made[index]!, 'understudy-orders-capture')));
  }
}

/** As each stands in a process of its own. */
async function handlersOf(deployed: string): Promise<Handlers> {
  const config = JSON.parse(deployed);
  // The file that a layer would bring.
  config.engine.authority = authority;
  vi.resetModules();
  const { theRuntime, writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo((line) => lines.push(line));
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(config));
  await theRuntime().control.nameLeader({ epoch: parseEpoch(1), leader: EU });
  const made = FUNCTIONS.map(async (name) => {
    const { handler } = await import(`../../functions/${name}/handler.ts`);
    const invoke = (event: unknown, ms = 60_000) => {
      const endMs = Date.now() + ms;
      return handler(event, { getRemainingTimeInMillis: () => endMs - Date.now() } as Context);
    };
    return [name, invoke] as const;
  });
  return Object.fromEntries(await Promise.all(made)) as Handlers;
}

const query = async (region: RegionId, sql: string) => {
  const client = await connector({ connectionString: at(region).postgres.server.url() })();
  const { rows } = await client.query(sql);
  await client.end();
  return rows;
};
const rowsOf = (region: RegionId) => query(region, 'SELECT id, balance FROM account ORDER BY id');
const isRead = async (region: RegionId) =>
  (await query(region, 'SELECT FROM pg_replication_slots WHERE active')).length === 1;

/** One that has a second to read. */
const captured = (region: RegionId) => at(region).capture(tick, 6_000);

async function replicated(): Promise<void> {
  await captured(EU);
  await at(EU).relay({ Records: [] });
  await at(US).apply(tick);
}

const figures = (name: string) =>
  lines
    .slice(seen)
    .map((line) => JSON.parse(line))
    .filter((each) => each[name] !== undefined && each._aws !== undefined);

test('the functions as they are deployed replicate from one database to the other, by verified TLS and secrets', async () => {
  await at(US).apply(tick);
  await at(EU).postgres.sql('INSERT INTO account VALUES (1, 100), (2, 200)');
  await replicated();
  expect(await rowsOf(US)).toEqual([
    { id: 1, balance: 100 },
    { id: 2, balance: 200 },
  ]);
});

test('they go on after the password of the leader was rotated', async () => {
  await at(EU).postgres.sql("ALTER ROLE understudy PASSWORD 'second'");
  at(EU).secrets.values.set('orders/understudy', secretOf('second'));
  await at(EU).postgres.sql('UPDATE account SET balance = 150 WHERE id = 1');
  await replicated();
  expect((await rowsOf(US))[0]).toEqual({ id: 1, balance: 150 });
});

test('an invocation of capture waits for the one before it, and reads on where that one stops', async () => {
  const ended: string[] = [];
  const first = at(EU)
    .capture(tick, 7_000)
    .then(() => ended.push('first'));
  await until('the first one reads', () => isRead(EU));
  const second = at(EU)
    .capture(tick, 9_000)
    .then(() => ended.push('second'));
  await first;
  await until('the second one reads', () => isRead(EU));
  await second;
  expect(ended).toEqual(['first', 'second']);
  expect(lines.filter((line) => line.includes('SLOT_BUSY'))).toEqual([]);
});

test('the sentinel of each Region tells what its server keeps for the slot, and when the slot is lost', async () => {
  seen = lines.length;
  for (const region of REGIONS) await at(region).sentinel(tick);
  const told = figures('SlotRetainedBytes');
  expect(told.map(({ region }) => region).sort()).toEqual([...REGIONS].sort());
  for (const { SlotRetainedBytes } of told) expect(SlotRetainedBytes).toBeGreaterThanOrEqual(0);
  expect(figures('SlotsLost')).toEqual([]);

  await at(US).postgres.sql("SELECT pg_drop_replication_slot('understudy')");
  await at(US).sentinel(tick);
  expect(figures('SlotsLost')).toMatchObject([
    { kind: 'SLOT_LOST', region: US, SlotsLost: 1, slot: 'understudy' },
  ]);
});

test('no password is in anything that they have written or are told', () => {
  expect(lines.length).toBeGreaterThan(10);
  const text = [...lines, process.env.UNDERSTUDY_CONFIG].join();
  for (const password of [`first-${EU}`, `first-${US}`, '"second"']) expect(text).not.toContain(password);
});
