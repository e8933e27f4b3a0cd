import { expect, test } from 'vitest';
import { tryWrite } from '#lib/aws/try-write.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { Rungs } from '#lib/domain/control/fence.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import { AP, EU, US, until, untilCaughtUp } from './support.ts';

test("an old leader's table refuses its application, and takes its writes once it is taken back in", async () => {
  const key = [{ name: 'id', type: 'S' }] as const;
  const group = parseGroup({
    group: 'fenced',
    table: 'orders',
    key,
    regions: [EU, US, AP].map((name) => ({ name })),
  });
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: EU,
    link: { forwardMs: 5, backMs: 5 },
    failover: {
      profile: 'fast',
      ttlSeconds: 1,
      propagationMs: 0,
      hostFence: new URL('../support/host-hook.ts', import.meta.url),
    },
  });
  const peers = cloud.peers();
  const roleOf = (region: RegionId) => peers.control(region).role();
  /** What a write of a Region's application would come to, whatever lease it believes in. */
  const application = (region: RegionId) =>
    tryWrite(peers.clients(region).applicationDynamodb!, group.table, key);
  const rungsOf = async (region: RegionId, epoch: number): Promise<Rungs | undefined> => {
    const decisions = await peers.history(region).of(parseEpoch(epoch));
    const fenced = decisions.find(({ step }) => step === 'fence')?.outcome;
    return (fenced as { rungs?: Rungs } | undefined)?.rungs;
  };
  await untilCaughtUp(peers, [US, AP]);
  expect(await application(EU)).toBe('taken');

  const { dynamodb } = peers.clients(EU);
  const table = cloud.resources.controlTable;
  const input: FailoverInput = {
    group: group.group,
    epoch: parseEpoch(1),
    kind: 'switchover',
    run: 'planned',
    trigger: 'operator',
    successor: US,
    approval: false,
  };
  await new RequestedWorkflow({ dynamodb, group: group.group, table }).start(input);
  await until('US leads', async () => (await roleOf(US)).leader === US);
  const rungs = (await rungsOf(EU, 2))!;
  expect(rungs.engine).toMatchObject({ proven: true });
  expect(rungs.host.detail).toBe(`the hook says: hosts of ${EU} are stopped for epoch 2`);
  expect([rungs.log.proven, rungs.lease.proven, rungs.watchdog.proven]).toEqual([true, true, true]);
  expect(await application(US)).toBe('taken');
  await until('EU follows', async () => (await roleOf(EU)).attached === 2);
  await until('the table of EU is open again', async () => (await application(EU)) === 'taken');

  // Stopped where it is, promoted over, and woken up: what its application believed then is void.
  cloud.pauseRegion(US);
  await until('another leads', async () => (await roleOf(EU)).epoch === 3);
  cloud.resumeRegion(US);
  await until('the table of US refuses its application', async () => (await application(US)) === 'refused');
  await until('US follows', async () => (await roleOf(US)).attached === 3);
  await until('the table of US is open again', async () => (await application(US)) === 'taken');
});
