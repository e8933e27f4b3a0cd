import { setTimeout as pause } from 'node:timers/promises';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { expect, test } from 'vitest';
import { claim, install } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, parseEpoch } from '#lib/domain/lsn.ts';
import { membersOf, parseGroup } from '#lib/domain/topology.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { AP, EU, US, until, untilCaughtUp } from './support.ts';

test('two replicas and a witness outlive the leader, take it back in, and put DNS right after a run that died', async () => {
  const group = parseGroup({
    group: 'witnessed',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: [{ name: EU }, { name: US }],
    witnesses: [AP],
  });
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: EU,
    link: { forwardMs: 5, backMs: 5 },
    failover: { profile: 'fast', ttlSeconds: 1, propagationMs: 0 },
    alarmMinuteMs: 400,
  });
  const peers = cloud.peers();
  const roleOf = (region: RegionId) => peers.control(region).role();
  await untilCaughtUp(peers, [US]);

  // It has no lag to be alarmed about.
  await until('the witness is heard', async () => {
    const alarms = await peers.alarms(AP).of(['witness-silent', 'applied-lag']);
    return alarms.map(({ state }) => state).join() === 'ok';
  });

  await cloud.loseRegion(EU);
  await until('US leads', async () => (await roleOf(US)).leader === US);
  expect(await roleOf(US)).toMatchObject({ epoch: 2, leader: US });
  await until('DNS names US', async () => (await cloud.record().read())?.target.startsWith(US) === true);
  await peers.store(US).put(heartbeatItem(group.engine.key, Date.now()));

  await cloud.restoreRegion(EU);
  await until('EU follows', async () => {
    const { attached, leader } = await roleOf(EU);
    return leader === US && attached === 2;
  });
  // The witness has voted and accepted, and holds nothing else.
  const { dynamodb } = peers.clients(AP);
  const { Items } = await dynamodb.send(
    new ScanCommand({ TableName: cloud.resources.controlTable, ConsistentRead: true }),
  );
  expect(Items?.map(({ id }) => id?.S)).toEqual(['witnessed#acceptor']);

  // A run promotes EU and dies before it has changed DNS.
  const epoch = parseEpoch(2);
  for (const region of [US, AP]) await peers.acceptor(region).vote(epoch, 'over');
  const deps = {
    acceptors: { members: membersOf(group), of: (region: RegionId) => peers.acceptor(region) },
    region: AP,
    chance: () => 'dies',
    random: Math.random,
    sleep: (ms: number) => pause(ms),
  };
  // Long enough that no other run does its work.
  const run = { coordinator: AP, run: 'dies', cooldownUntilMs: Date.now() + 600_000 } as const;
  await changeRegister(deps, (value) => claim(value, { ...run, epoch, phase: 'failing-over' }));
  await changeRegister(deps, (value) => install(value, { ...run, epoch: advanceEpoch(epoch), leader: EU }));
  await until('EU leads', async () => (await roleOf(EU)).leader === EU);
  expect((await cloud.record().read())?.target.startsWith(US)).toBe(true);
  await until('DNS names EU', async () => (await cloud.record().read())?.target.startsWith(EU) === true);
  expect(await cloud.record().read()).toMatchObject({ epoch: 3 });
});
