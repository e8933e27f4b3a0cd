import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { expect, test } from 'vitest';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { heartbeatItem } from '#lib/engines/dynamodb/heartbeat.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { AP, EU, US, until, untilCaughtUp } from './support.ts';

test('two replicas and a witness outlive the leader, and take it back in', async () => {
  const group = parseGroup({
    group: 'witnessed',
    table: 'orders',
    key: [{ name: 'id', type: 'S' }],
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
  await peers.store(US).put(heartbeatItem(group.key, Date.now()));

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
});
