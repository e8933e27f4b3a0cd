import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { alarmsIn } from '#lib/constructs/alarm-specs.ts';
import { tableNames } from '#lib/constructs/names.ts';
import { UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import { jsonLines, understudy } from '../cli/run.ts';
import { AP, EU, US, until } from './support.ts';

const NAMES = [...alarmsIn('replica', 'dynamodb').map(({ name }) => name), UNSAFE_ALARM];
const REGIONS = [EU, US, AP];

let cloud: EmbeddedCloud;
let peers: AwsPeers;
let tmp: string;

beforeAll(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'alarms-'));
  cloud = await EmbeddedCloud.start({
    group: parseGroup({
      group: 'test',
      engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
      regions: REGIONS.map((name) => ({ name })),
    }),
    leader: EU,
    link: { forwardMs: 5, backMs: 5 },
    failover: { profile: 'fast', ttlSeconds: 1, propagationMs: 0 },
    alarmMinuteMs: 1_000,
  });
  peers = cloud.peers();
}, 120_000);
afterAll(async () => {
  await cloud?.stop();
  await rm(tmp, { recursive: true });
});

async function stateOf(region: RegionId, alarm: string): Promise<string | undefined> {
  const [found] = await peers.alarms(region).of([alarm]);
  return found?.state;
}

async function command(...args: string[]) {
  const { status, stdout, stderr } = await understudy([...args, '--cloud', cloud.file], tmp).finished;
  return { status, stdout, stderr };
}

function workflow(): RequestedWorkflow {
  const { control: table } = tableNames(cloud.group.group);
  return new RequestedWorkflow({ dynamodb: peers.clients(EU).dynamodb, group: cloud.group.group, table });
}

/** Has the workflow of EU run what is given. */
async function request(run: string): Promise<void> {
  const input: FailoverInput = {
    group: 'test',
    epoch: parseEpoch(1),
    kind: 'switchover',
    run,
    trigger: 'operator',
    approval: false,
  };
  await workflow().start(input);
}

test('a running group has all alarms in every Region, none of them on', async () => {
  for (const region of REGIONS) {
    await until(`all is well in ${region}`, async () => {
      const alarms = await peers.alarms(region).of(NAMES);
      return alarms.length === NAMES.length && alarms.every(({ state }) => state === 'ok');
    });
  }
});

test('a follower whose figures stay away is in alarm, off the candidates, and elected by no run, until it is back', async () => {
  await cloud.halt(AP, 'worker');
  await until('AP is in alarm', async () => (await stateOf(AP, 'applied-lag')) === 'alarm');
  expect(await stateOf(AP, UNSAFE_ALARM)).toBe('alarm');
  expect(await stateOf(US, 'applied-lag')).toBe('ok');

  const shown = await command('status');
  expect(shown.status).toBe(0);
  expect(shown.stdout).toMatch(/Alarm applied-lag of ap-southeast-1: on since .*missing/);
  expect(shown.stdout).toMatch(/Next: The alarm applied-lag is on in ap-southeast-1\. .*#alarm-applied-lag/);
  expect(shown.stdout).toMatch(/Alarms of us-east-1: \d+, none is on/);
  const [status] = jsonLines((await command('status', '--json')).stdout);
  expect(status).toMatchObject({
    regions: [
      { region: EU, fedBy: null },
      { region: US, fedBy: EU, lag: { applied: { records: expect.any(String) } } },
      { alarms: expect.arrayContaining([expect.objectContaining({ alarm: 'applied-lag', state: 'alarm' })]) },
    ],
  });
  const [plan] = jsonLines((await command('plan', '--json')).stdout);
  expect(plan).toMatchObject({ winner: US });
  expect(plan!.candidates).toContainEqual(
    expect.objectContaining({ region: AP, eligible: false, why: 'the alarm applied-lag is on' }),
  );

  // By the name alone it would be AP: its log has all that there is.
  let tries = 1;
  await request('elects-by-alarms-1');
  await until('US leads', async () => {
    // On a machine that is slow, US may be in alarm too for a moment: then the run is refused.
    if ((await workflow().stopOf(`elects-by-alarms-${tries}`)) !== undefined) {
      tries += 1;
      await request(`elects-by-alarms-${tries}`);
    }
    return (await peers.control(US).role()).leader === US;
  });
  const decisions = await peers.history(EU).of(parseEpoch(2));
  expect(decisions.find(({ step }) => step === 'elect')?.outcome).toMatchObject({
    winner: US,
    candidates: expect.arrayContaining([
      expect.objectContaining({ region: AP, eligible: false, why: expect.stringContaining('alarm') }),
    ]),
  });

  await cloud.start(AP, 'worker');
  await until('AP is well again', async () => (await stateOf(AP, 'applied-lag')) === 'ok');
  await until('AP is safe again', async () => (await stateOf(AP, UNSAFE_ALARM)) === 'ok');
});

test('a run that does not reach its end is an alarm where it ran', async () => {
  await request('comes-too-late');
  await until('the run is in alarm', async () => (await stateOf(EU, 'run-failed')) === 'alarm');
  expect(await stateOf(US, 'run-failed')).toBe('ok');
  await until('its end is told', async () => (await workflow().stopOf('comes-too-late'))?.how === 'failed');
});
