import { expect, test } from 'vitest';
import { tryWrite } from '#lib/aws/try-write.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import type { Rungs } from '#lib/domain/control/fence.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import { jsonLines } from '../cli/run.ts';
import { Hammer } from '../support/hammer.ts';
import { AP, EU, GROUP, logged, US, until, untilCaughtUp } from './support.ts';

test("an old leader's table refuses its application until it is taken back in, and each write is logged once", async () => {
  const key = [{ name: 'id', type: 'S' }] as const;
  const group = parseGroup({
    group: GROUP,
    engine: { kind: 'dynamodb', table: 'orders', key },
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
    tryWrite(peers.clients(region).applicationDynamodb!, group.engine.table, key);
  const rungsOf = async (region: RegionId, epoch: number): Promise<Rungs | undefined> => {
    const decisions = await peers.history(region).of(parseEpoch(epoch));
    const fenced = decisions.find(({ step }) => step === 'fence')?.outcome;
    return (fenced as { rungs?: Rungs } | undefined)?.rungs;
  };
  await untilCaughtUp(peers, [US, AP]);
  const urlOf = (region: RegionId) => cloud.applicationUrl(`${region}.${cloud.dns.name}`);
  await using hammer = new Hammer({ [EU]: urlOf(EU), [US]: urlOf(US), [AP]: urlOf(AP) });
  await until('writes of epoch 1 go through', async () => hammer.countOf(1) > 50);
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
  // The worker of US sleeps through its promotion: what it applies once it is awake again, it must not ship as its own.
  const registerOf = async (region: RegionId) => (await peers.acceptor(region).read()).accepted?.value;
  await until('EU hands over', async () => (await registerOf(EU))?.epoch === 2);
  const refusing = until('the table of EU refuses', async () => (await application(EU)) === 'refused');
  cloud.kill(US, 'worker', 'SIGSTOP');
  await until('US is promoted', async () => (await registerOf(EU))?.phase === 'leading');
  cloud.kill(US, 'worker', 'SIGCONT');
  await until('US leads', async () => (await roleOf(US)).leader === US);
  await until('the fence is judged', async () => (await rungsOf(EU, 2)) !== undefined);
  const rungs = (await rungsOf(EU, 2))!;
  // Nothing waits for a rung that the others make needless: on a busy machine it stands a little later than the verdict.
  expect(rungs.engine.proven || rungs.engine.detail === 'no answer in time', rungs.engine.detail).toBe(true);
  await refusing;
  expect(rungs.host.detail).toBe(`the hook says: hosts of ${EU} are stopped for epoch 2`);
  expect([rungs.log.proven, rungs.lease.proven, rungs.watchdog.proven]).toEqual([true, true, true]);
  expect(await application(US)).toBe('taken');
  await until('EU follows', async () => (await roleOf(EU)).attached === 2);
  await until('the table of EU is open again', async () => (await application(EU)) === 'taken');

  await until('writes of epoch 2 go through', async () => hammer.countOf(2) > 50);
  // Stopped where it is, promoted over, and woken up: what its application believed then is void.
  cloud.pauseRegion(US);
  await until('another leads', async () => (await roleOf(EU)).epoch === 3);
  cloud.resumeRegion(US);
  await until('the table of US refuses its application', async () => (await application(US)) === 'refused');
  await until('US follows', async () => (await roleOf(US)).attached === 3);
  await until('the table of US is open again', async () => (await application(US)) === 'taken');

  // The promotion cut. Each write is an item of its own: a change that a new leader had applied and shipped again would
  // be in the log a second time, and a write that it took and did not ship would not be in it.
  await until('writes of epoch 3 go through', async () => hammer.countOf(3) > 50);
  await hammer.stop();
  const leader = (await roleOf(EU)).leader;
  await untilCaughtUp(
    peers,
    [EU, US, AP].filter((region) => region !== leader),
  );
  const records = await logged(peers, leader);
  expect(new Set(records.map(({ shard, sequence }) => `${shard} ${sequence}`)).size).toBe(records.length);
  const times = Map.groupBy(records, ({ id }) => id);
  const { hash } = (await peers.divergences(US).of(parseEpoch(2)))!.report!;
  const diverged = new Set(
    jsonLines(Buffer.from(await peers.divergences(US).get(hash)).toString()).map(
      ({ key }) => (key as { id: { S: string } }).id.S,
    ),
  );
  for (const [id, epoch] of hammer.acknowledged) {
    // What a leader took before it was lost may be lost, but nobody need guess what.
    const kept = epoch === 2 && diverged.has(id) ? 0 : 1;
    expect(times.get(id)?.length ?? 0, `${id}, acknowledged in epoch ${epoch}`).toBe(kept);
  }
});
