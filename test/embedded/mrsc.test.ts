import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { ScanCommand } from '@aws-sdk/client-dynamodb';
import { expect, test } from 'vitest';
import { amend } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { membersOf, parseGroup } from '#lib/domain/topology.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import { EU, until, untilCaughtUp } from './support.ts';

const NEAR = parseRegionId('eu-central-1');
const WITNESS = parseRegionId('eu-west-3');
const REGISTER = { kind: 'mrsc', table: 'understudy-near-register' } as const;

test('Regions that agree by an MRSC table outlive a leader that is cut off, which fences itself, and one that is lost', async () => {
  const group = parseGroup({
    group: 'near',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: [{ name: EU }, { name: NEAR }],
    witnesses: [WITNESS],
    register: REGISTER,
  });
  const told: { readonly region: RegionId; readonly kind?: string }[] = [];
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: EU,
    link: { forwardMs: 10, backMs: 10 },
    failover: { profile: 'fast', ttlSeconds: 1, propagationMs: 0 },
    onMessage: ({ region, message }) => {
      const { line } = message as { readonly line?: string };
      if (line !== undefined) told.push({ ...JSON.parse(line), region });
    },
  });
  const peers = cloud.peers();
  const hasTold = (region: RegionId, kind: string) =>
    told.some((each) => each.region === region && each.kind === kind);
  const leads = async (region: RegionId, epoch: number) => {
    const role = await peers.control(region).role();
    return role.leader === region && role.epoch === epoch;
  };
  const follows = async (region: RegionId, epoch: number) => {
    const { attached, leader } = await peers.control(region).role();
    return leader !== region && attached === epoch;
  };
  const write = (region: RegionId) =>
    fetch(cloud.applicationUrl(`${region}.near.understudy.internal`), {
      method: 'POST',
      body: JSON.stringify({ id: { S: randomUUID() } }),
      signal: AbortSignal.timeout(5_000),
    });
  await untilCaughtUp(peers, [NEAR]);
  await until('an application of the leader writes', async () => (await write(EU)).ok);

  // Cut off from the others, a Region reads not even its own acceptor: by that alone it must not go on.
  await cloud.partition(EU, 'hang');
  await until('the other replica leads', () => leads(NEAR, 2));
  await until('the leader that is cut off fences its store', async () => hasTold(EU, 'fence-raised'));
  expect(hasTold(EU, 'lease-lost')).toBe(true);
  expect((await write(EU)).ok).toBe(false);
  await until('an application of the new leader writes', async () => (await write(NEAR)).ok);
  await cloud.partition(EU, 'up');
  await until('the old leader follows', () => follows(EU, 2));

  const deps = {
    acceptors: { members: membersOf(group), of: (region: RegionId) => peers.acceptor(region) },
    region: NEAR,
    chance: randomUUID,
    random: Math.random,
    sleep: (ms: number) => pause(ms),
  };
  await changeRegister(deps, (register) => amend(register, { cooldownUntilMs: 0 }));
  await untilCaughtUp(peers, [EU]);
  await cloud.loseRegion(NEAR);
  await until('the first leader leads again', () => leads(EU, 3));
  await until('its application writes', async () => (await write(EU)).ok);
  await cloud.restoreRegion(NEAR);
  await until('the lost Region follows', () => follows(NEAR, 3));

  // Each Region's acceptor is in the one table, and in no control table.
  const idsIn = async (region: RegionId, table: string, isRegister: boolean) => {
    const { dynamodb, register } = peers.clients(region);
    const scan = new ScanCommand({ TableName: table, ConsistentRead: true });
    const { Items = [] } = await (isRegister ? register : dynamodb).send(scan);
    return Items.map(({ id }) => id!.S!).toSorted();
  };
  expect(await idsIn(EU, REGISTER.table, true)).toEqual(
    [NEAR, EU, WITNESS].map((region) => `near#acceptor#${region}`).toSorted(),
  );
  for (const region of membersOf(group)) {
    const ids = await idsIn(region, cloud.resources.controlTable, false);
    expect(
      ids.filter((id) => id.includes('#acceptor')),
      region,
    ).toEqual([]);
  }
});
