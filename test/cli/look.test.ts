import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { EU, startCloud, US, untilCaughtUp } from '../embedded/support.ts';
import { jsonLines, understudy } from './run.ts';

let cloud: EmbeddedCloud;
let peers: AwsPeers;
let tmp: string;

beforeAll(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'cli-'));
  ({ cloud, peers } = await startCloud());
  const item = { id: { S: 'a' }, n: { N: '12345678901234567890' }, b: { B: new Uint8Array([1, 2, 3]) } };
  await peers.store(EU).put(item);
  await peers.store(EU).put({ ...item, n: { N: '2' } });
  await untilCaughtUp(
    peers,
    cloud.group.regions.map(({ name }) => name).filter((name) => name !== EU),
  );
}, 60_000);

afterAll(async () => {
  await cloud.stop();
  await rm(tmp, { recursive: true });
});

const run = (...args: string[]) => understudy([...args, '--cloud', cloud.file], tmp).finished;

test('lag shows every Region', async () => {
  const { status, stdout } = await run('lag', '--json');
  expect(status).toBe(0);
  expect(jsonLines(stdout).map(({ region, role }) => `${region} ${role}`)).toEqual([
    'eu-west-1 leader',
    'us-east-1 follower',
    'ap-southeast-1 follower',
  ]);
  const human = await run('lag');
  expect(human.stdout).toMatch(/us-east-1 +follower .* records?, .* B, .* s/);
});

test('verify finds equal replicas equal, and names the key that differs', async () => {
  const equal = await run('verify');
  expect(equal.status).toBe(0);
  expect(equal.stdout).toMatch(/us-east-1 +equal/);
  await peers.store(US).put({ id: { S: 'a' }, n: { N: '3' } });
  const { status, stdout, stderr } = await run('verify');
  expect(status).toBe(3);
  expect(stdout).toContain('us-east-1: differs: {"id":{"S":"a"}}');
  expect(stderr).toContain('REPLICAS_DIFFER');
});

test('log ls lists entries that continue one another', async () => {
  const { status, stdout } = await run('log', 'ls', '--json', '--region', 'us-east-1');
  expect(status).toBe(0);
  const entries = jsonLines(stdout);
  expect(entries[0]).toMatchObject({ first: '1', epoch: 1 });
  expect(entries.filter((entry) => 'segment' in entry)).toEqual([]);
  for (let i = 1; i < entries.length; i++) expect(entries[i]!.prev).toBe(entries[i - 1]!.chain);
  expect((await run('log', 'ls')).stdout).toMatch(/the log holds LSN 1 to \d+, sealed at epoch 1/);
});

test('log cat prints a segment as JSON lines in DynamoDB JSON, from the log or from a file', async () => {
  const [entry] = (await peers.log(EU).entries(LANE_0, 1n as never, 1)).slice(-1);
  const all = [];
  const { lastLsn } = await peers.log(EU).head(LANE_0);
  for (let lsn = 1n; lsn <= lastLsn && all.length < 2; lsn++) {
    const { stdout } = await run('log', 'cat', `${lsn}`);
    all.push(
      ...jsonLines(stdout).filter(
        ({ lsn: at, key }) => at === `${lsn}` && JSON.stringify(key).includes('"a"'),
      ),
    );
  }
  expect(all[0]).toMatchObject({
    kind: 'insert',
    key: { id: { S: 'a' } },
    after: { n: { N: '12345678901234567890' }, b: { B: 'AQID' } },
  });
  expect(all[1]).toMatchObject({
    kind: 'update',
    before: { n: { N: '12345678901234567890' } },
    after: { n: { N: '2' } },
  });

  const file = join(tmp, 'segment');
  await writeFile(file, await peers.log(EU).getSegment(entry!));
  const fromFile = await run('log', 'cat', '--file', file);
  expect(jsonLines(fromFile.stdout)[0]).toMatchObject({ ordinal: 0, table: 'orders' });
  await writeFile(file, 'not a segment');
  const { status, stderr } = await run('log', 'cat', '--file', file);
  expect(status).toBe(1);
  expect(stderr).toContain('SEGMENT_CORRUPT');
});

test('what is not there is a named failure that says what is', async () => {
  const beyond = await run('log', 'cat', '999999');
  expect(beyond.status).toBe(2);
  expect(beyond.stderr).toMatch(/does not hold LSN 999999. It holds 1 to \d+/);
  const elsewhere = await run('log', 'ls', '--region', 'mars-north-1');
  expect(elsewhere.status).toBe(2);
  expect(elsewhere.stderr).toContain('Use one of eu-west-1, us-east-1, ap-southeast-1');
  const failover = await run('status');
  expect(failover.status).toBe(2);
  expect(failover.stderr).toMatch(/replicates alone: it has no failover.*npm start -- --keep/);
  const nowhere = await understudy(['lag'], tmp).finished;
  expect(nowhere.status).toBe(2);
  expect(nowhere.stderr).toContain('CLOUD_NOT_FOUND');
});
