import { randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { Context } from 'aws-lambda';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { AwsPeers } from '#lib/aws/aws-peers.ts';
import { LANE_0, parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { SMALL_SEGMENT } from '#lib/domain/log.ts';
import { type KeySchema, parseGroup } from '#lib/domain/topology.ts';
import { heartbeatKey } from '#lib/engines/dynamodb/heartbeat.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { poison, put, puts, sequenceOf } from '../support/capture-fixture.ts';
import { allEntries, E1, E2, sha256 } from '../support/log-history.ts';
import { loggedRecords } from '../support/log-records.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const key: KeySchema = [{ name: 'pk', type: 'S' }];
const [EU, US] = [parseRegionId('eu-west-1'), parseRegionId('us-east-1')];
const context = { getRemainingTimeInMillis: () => 60_000 } as Context;
const tick = { kind: 'tick' };

type Handlers = Readonly<
  Record<'capture' | 'relay' | 'apply' | 'sentinel' | 'retention', (event: unknown) => Promise<unknown>>
>;

let servers: ReadonlyMap<RegionId, RegionServers>;
let peers: AwsPeers;
let regions: ReadonlyMap<RegionId, Handlers>;
let queueUrl: string;
let groups = 0;
/** All that the functions have written to their log groups. */
const lines: string[] = [];

beforeAll(async () => {
  const started = await Promise.all([EU, US].map(startRegionServers));
  servers = new Map(started.map((each) => [each.region, each]));
});
afterAll(async () => {
  for (const each of servers?.values() ?? []) await each[Symbol.asyncDispose]();
});
afterEach(() => {
  peers?.destroy();
  vi.unstubAllEnvs();
});

/** A new group in both Regions; the handlers of a Region are those that its environment makes. */
beforeEach(async () => {
  const name = parseGroupId(`group-${groups++}`);
  const config = parseGroup({
    group: name,
    engine: { kind: 'dynamodb', table: `${name}-data`, key },
    regions: [{ name: EU }, { name: US }],
  });
  const endpoints: Record<string, RegionServers['endpoints']> = {};
  const buckets: Record<string, string> = {};
  let tables = { logTable: '', controlTable: '' };
  for (const [region, each] of servers) {
    const { logTable, controlTable, bucket, failureQueueUrl } = await each.provision(config);
    endpoints[region] = each.endpoints;
    buckets[region] = bucket;
    tables = { logTable, controlTable };
    if (region === EU) queueUrl = failureQueueUrl;
  }
  peers = new AwsPeers({ ...config, ...tables, buckets, endpoints }, STAMP_ATTRIBUTE);
  for (const region of [EU, US]) await peers.control(region).nameLeader({ leader: EU, epoch: E1 });
  vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify(endpoints));
  const made = new Map<RegionId, Handlers>();
  for (const region of [EU, US]) {
    const deployed = {
      ...config,
      ...tables,
      region,
      regions: config.regions.map((each) => ({ ...each, bucket: buckets[each.name] })),
      failureQueueUrl: queueUrl,
      // What is older than the newest record goes, and at the next run it is deleted.
      retention: { days: 1e-9, graceHours: 0 },
    };
    made.set(region, await handlersOf(deployed));
  }
  regions = made;
});

async function handlersOf(config: object): Promise<Handlers> {
  vi.resetModules();
  const modules = {
    capture: await import('#functions/capture/handler.ts'),
    relay: await import('#functions/relay/handler.ts'),
    apply: await import('#functions/apply/handler.ts'),
    sentinel: await import('#functions/sentinel/handler.ts'),
    retention: await import('#functions/retention/handler.ts'),
  };
  const { theRuntime, writeTelemetryTo } = await import('#functions/runtime.ts');
  writeTelemetryTo((line) => lines.push(line));
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(config));
  theRuntime();
  const handlers = Object.entries(modules).map(([name, { handler }]) => [
    name,
    (event: unknown) => (handler as (event: unknown, context: Context) => Promise<unknown>)(event, context),
  ]);
  return Object.fromEntries(handlers);
}

const at = (region: RegionId) => regions.get(region)!;
const capture = (records: readonly unknown[], shardId = 'shardId-1') =>
  at(EU).capture({ Records: records, shardId });

test('capture answers with an empty state and no failures, and logs a redelivered batch once', async () => {
  expect(await capture(puts(1, 3))).toEqual({ state: {}, batchItemFailures: [] });
  expect(await capture(puts(1, 5))).toEqual({ state: {}, batchItemFailures: [] });
  const records = await loggedRecords(peers.log(EU), key);
  expect(records.map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4, 5].map(sequenceOf));
});

test('capture sends a poison record to the failure queue and logs the others', async () => {
  expect(await capture([put(1), poison(2), put(3)])).toEqual({ state: {}, batchItemFailures: [] });
  const { Messages } = await servers
    .get(EU)!
    .clients.sqs.send(new ReceiveMessageCommand({ QueueUrl: queueUrl }));
  expect(JSON.parse(Messages![0]!.Body!)).toMatchObject({
    shard: 'eu-west-1/shardId-1',
    sequence: sequenceOf(2),
  });
  expect(await loggedRecords(peers.log(EU), key)).toHaveLength(2);
});

test('capture at a sealed log fails, so that nothing is acknowledged', async () => {
  await peers.log(EU).seal(LANE_0, E2);
  await expect(capture(puts(1, 3))).rejects.toMatchObject({ code: 'LOG_FENCED' });
});

test('what is captured in one Region is relayed and applied in the other, by the handlers as they are deployed', async () => {
  // A first round lets the follower take its snapshot of an empty leader.
  await at(EU).sentinel(tick);
  const beat = await peers.store(EU).get(heartbeatKey(key));
  expect(beat).toBeDefined();
  await at(US).apply(tick);

  await capture([put(1, 'a'), put(2, 'b')]);
  await at(EU).relay({ Records: [] });
  expect((await peers.log(US).head(LANE_0)).lastLsn).toBe(2n);
  await at(US).apply({ Records: [] });
  expect(await peers.store(US).get({ pk: { S: 'b' } })).toEqual({ pk: { S: 'b' }, at: { S: '2' } });

  // No hint arrives; the follower repairs its own log.
  await capture([put(3, 'c')]);
  await at(US).relay(tick);
  await at(US).apply(tick);
  expect(await peers.store(US).get({ pk: { S: 'c' } })).toEqual({ pk: { S: 'c' }, at: { S: '3' } });
  expect((await peers.control(US).applyState(LANE_0)).applied?.lsn).toBe(3n);
});

test('retention deletes what everybody has, in every Region, and the data path goes on over it', async () => {
  await at(EU).sentinel(tick);
  await at(US).apply(tick);
  const orphan = Buffer.alloc(2 * SMALL_SEGMENT, 'cut off before its append');
  for (const region of [EU, US]) {
    await peers.log(region).putSegment(sha256(orphan), orphan, await peers.log(region).head(LANE_0));
  }
  const large = (sequence: number) => put(sequence, randomBytes(900).toString('hex'));
  for (let batch = 0; batch < 5; batch++) {
    // Those of five are objects, that of one is in its entry.
    const count = batch === 2 ? 1 : 5;
    await capture(Array.from({ length: count }, (_, index) => large(10 * batch + index)));
    await at(EU).relay({ Records: [] });
  }
  await at(EU).retention(tick);
  // The follower's store has not applied any of it.
  expect((await peers.log(EU).head(LANE_0)).firstLsn).toBe(1n);

  await at(US).apply(tick);
  for (const region of [EU, US]) for (let run = 0; run < 3; run++) await at(region).retention(tick);
  for (const region of [EU, US]) {
    const entries = await allEntries(peers.log(region));
    expect(entries.map(({ first }) => first)).toEqual([17n]);
    expect((await peers.keeper(region).segments()).map(({ hash }) => hash)).toEqual([entries[0]!.hash]);
  }

  // In a later generation of segments, which none of these has seen yet.
  await capture([put(60, 'after')]);
  await at(EU).relay({ Records: [] });
  await at(US).apply(tick);
  expect(await peers.store(US).get({ pk: { S: 'after' } })).toBeDefined();
  expect((await peers.log(US).head(LANE_0)).chain).toBe((await peers.log(EU).head(LANE_0)).chain);
});

test('no function logs or throws a value of a row, nor a key, whatever becomes of it', async () => {
  const PLANTED = ['planted-key', 'planted-value', 'planted-number-13', 'planted-poison'];
  lines.length = 0;
  const thrown: unknown[] = [];
  const attempt = (call: Promise<unknown>) => call.catch((error: unknown) => thrown.push(error));
  const planted = (sequence: number, value: object) => {
    const { dynamodb, ...record } = put(sequence, 'planted-key');
    return { ...record, dynamodb: { ...dynamodb, NewImage: { ...dynamodb?.NewImage, value } } };
  };
  // A snapshot of an item, then a change of it, through every function.
  await peers.store(EU).put({ pk: { S: 'planted-key' }, value: { S: 'planted-value' } });
  for (const region of [EU, US]) await attempt(at(region).sentinel(tick));
  await attempt(at(US).apply(tick));
  await attempt(
    capture([planted(1, { S: 'planted-value' }), planted(2, { M: { deep: { S: 'planted-value' } } })]),
  );
  // What no segment can hold, what no table takes, and what is no event at all.
  await attempt(capture([poison(3), planted(4, { N: 'planted-number-13' }), put(5, 'planted-key')]));
  await attempt(at(EU).capture({ Records: ['planted-poison'], shardId: 'shardId-1' }));
  await attempt(at(EU).capture({ Records: 'planted-poison' }));
  await attempt(at(EU).capture({ Records: [planted(6, { S: 'planted-value' })] }));
  await attempt(at(EU).relay({ Records: [], 'planted-poison': 'planted-poison' }));
  await attempt(at(US).apply({ kind: 'planted-poison' }));
  await attempt(at(US).apply(tick));
  await attempt(at(EU).retention(tick));
  // A leader that is fenced fails with all of it in hand.
  await peers.log(EU).seal(LANE_0, E2);
  await attempt(capture([planted(7, { S: 'planted-value' })]));

  const said = [...lines, ...thrown.map((error) => inspect(error, { depth: 10 }))].join('\n');
  expect(thrown.length).toBeGreaterThan(2);
  expect(lines.length).toBeGreaterThan(5);
  for (const value of PLANTED) {
    expect(said).not.toContain(value);
    expect(said).not.toContain(Buffer.from(value).toString('base64').replaceAll('=', ''));
  }
});
