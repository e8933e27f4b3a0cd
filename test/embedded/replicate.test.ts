import { randomBytes } from 'node:crypto';
import { DeleteItemCommand } from '@aws-sdk/client-dynamodb';
import { GetQueueUrlCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { Item } from '#lib/domain/attribute-value.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { tableOf } from '#lib/domain/topology.ts';
import { digestOf } from '#lib/engines/dynamodb/dynamo-digest.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { trimTo } from '../support/log-history.ts';
import {
  AP,
  checkedEntries,
  differences,
  EU,
  loggedSequences,
  startCloud,
  US,
  until,
  untilCaughtUp,
} from './support.ts';

let cloud: EmbeddedCloud;
let peers: AwsPeers;
let reports: string[];

/** AP is fed by US, not by the leader. */
beforeAll(async () => {
  ({ cloud, peers, reports } = await startCloud({ follows: { [AP]: US } }));
}, 120_000);

afterAll(async () => {
  await cloud.stop();
});

const key = (id: string): Item => ({ id: { S: id } });
const put = (id: string, rest: Item = {}) => peers.store(EU).put({ ...key(id), ...rest });

async function remove(id: string): Promise<void> {
  await peers
    .clients(EU)
    .dynamodb.send(new DeleteItemCommand({ TableName: tableOf(cloud.group).table, Key: { id: { S: id } } }));
}

async function expectEqual(...followers: readonly RegionId[]): Promise<void> {
  await untilCaughtUp(peers, followers);
  for (const region of followers) expect(await differences(peers, region)).toEqual([]);
}

test('retention runs in every Region, and ends well', async () => {
  const done = (region: RegionId) =>
    reports.some((line) => line.startsWith(region) && /"kind":"retention",.*"outcome":"done"/.test(line));
  await until('every Region has trimmed its log', async () => [EU, US, AP].every(done));
});

test('values of every type arrive exactly as they were written', async () => {
  const everything: Item = {
    id: { S: 'everything' },
    number: { N: '3.1415926535897932384626433832795028841' },
    huge: { N: '99999999999999999999999999999999999999' },
    binary: { B: new Uint8Array(randomBytes(300)) },
    text: { S: 'ἰχθύς 🐟 \u0000' },
    empty: { S: '' },
    yes: { BOOL: true },
    nothing: { NULL: true },
    strings: { SS: ['a', 'ä'] },
    numbers: { NS: ['1', '-2.5'] },
    binaries: { BS: [new Uint8Array([0]), new Uint8Array([255, 0])] },
    nested: { L: [{ M: { __proto__x: { L: [{ N: '1' }, { B: new Uint8Array([7]) }] } } }] },
  };
  await peers.store(EU).put(everything);
  await put('large', { body: { S: 'x'.repeat(409_000) } });
  await put('short-lived');
  await remove('short-lived');
  await expectEqual(US, AP);
  for (const region of [US, AP]) {
    const item = await peers.store(region).get(key('everything'));
    expect(item?.number).toEqual(everything.number);
    expect(item && digestOf(item)).toEqual(digestOf(everything));
    expect(await peers.store(region).get(key('short-lived'))).toBeUndefined();
  }
});

test('an item without room for the reserved attribute goes to the failure queue; the others go on', async () => {
  await put('too-large', { body: { S: 'x'.repeat(409_560) } });
  await put('after-it');
  await untilCaughtUp(peers, [US, AP]);
  expect(await peers.store(AP).get(key('after-it'))).toBeDefined();
  expect(await peers.store(AP).get(key('too-large'))).toBeUndefined();
  const { sqs } = peers.clients(EU);
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: 'understudy-test-failures' }));
  const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }));
  expect(JSON.parse(Messages[0]?.Body ?? '{}')).toMatchObject({ code: 'ITEM_TOO_LARGE', lane: '0' });
  await remove('too-large');
  await expectEqual(US, AP);
});

test('a cascading follower is fed by the Region that it follows, also while the leader cannot reach it', async () => {
  await cloud.network.set(EU, AP, { state: 'hang' });
  await cloud.network.set(AP, EU, { state: 'hang' });
  for (let i = 0; i < 50; i++) await put(`cascade-${i}`, { at: { N: `${i}` } });
  await expectEqual(US, AP);
  await cloud.network.set(EU, AP, { state: 'up' });
  await cloud.network.set(AP, EU, { state: 'up' });
});

for (const state of ['hang', 'half-open', 'refuse'] as const) {
  test(`a network that is ${state} between the leader and a follower costs nothing once it heals`, async () => {
    const setBothWays = async (patch: { state: typeof state | 'up' }) => {
      await cloud.network.set(EU, US, patch);
      await cloud.network.set(US, EU, patch);
    };
    const { lastLsn } = await peers.log(EU).head(LANE_0);
    await setBothWays({ state });
    for (let i = 0; i < 30; i++) await put(`${state}-${i % 10}`, { turn: { N: `${i}` } });
    await until('the leader has logged it', async () => {
      const leader = await peers.log(EU).head(LANE_0);
      return leader.lastLsn >= lastLsn + 30n;
    });
    await setBothWays({ state: 'up' });
    await expectEqual(US, AP);
  });
}

test('a worker that is frozen and wakes up late changes nothing that has been done meanwhile', async () => {
  for (let i = 0; i < 20; i++) await put(`frozen-${i}`, { turn: { N: '1' } });
  cloud.kill(US, 'worker', 'SIGSTOP');
  for (let i = 0; i < 20; i++) await put(`frozen-${i}`, { turn: { N: '2' } });
  await remove('frozen-3');
  const before = await peers.control(US).applyState(LANE_0);
  cloud.kill(US, 'worker', 'SIGCONT');
  await expectEqual(US, AP);
  const after = await peers.control(US).applyState(LANE_0);
  expect(after.applied!.lsn).toBeGreaterThan(before.applied!.lsn);
});

test('a lost follower holds up nobody, and one that comes back behind the retained log is told so and starts over', async () => {
  await put('gone-while-away');
  await expectEqual(US, AP);
  await cloud.loseRegion(AP);
  // Logged before the others, so that AP misses a whole entry: the newest, which stays, may be one with all of them.
  await remove('gone-while-away');
  await expectEqual(US);
  for (let i = 0; i < 40; i++) await put(`while-away-${i}`);
  await expectEqual(US);

  for (const region of [EU, US])
    await trimTo(peers.log(region), peers.keeper(region), (await peers.log(region).head(LANE_0)).lastLsn);
  await cloud.restoreRegion(AP);
  for (let i = 0; i < 40; i++) await put(`meanwhile-${i}`);
  await until('AP has been told', async () =>
    reports.some((line) => line.includes('FOLLOWER_BEHIND_RETENTION')),
  );
  await until('AP has taken a snapshot', async () =>
    reports.some((line) => line.startsWith(AP) && line.includes('snapshot-complete')),
  );
  await expectEqual(US, AP);
  expect(await peers.store(AP).get(key('gone-while-away'))).toBeUndefined();
});

test('every log is contiguous and chained, and no change is in it twice', async () => {
  for (const region of [EU, US, AP]) {
    const entries = await checkedEntries(peers, region);
    expect(entries.length).toBeGreaterThan(0);
    const sequences = await loggedSequences(peers, region);
    expect(new Set(sequences).size).toBe(sequences.length);
  }
});

test('nothing that was applied in a follower is captured again there', async () => {
  expect(reports.filter((line) => line.includes('LocalWritesAtFollower'))).toEqual([]);
});
