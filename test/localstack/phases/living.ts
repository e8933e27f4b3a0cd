import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { standingOf } from '../items.ts';
import { commonDigest } from '../replicas.ts';
import type { Writer } from '../writer.ts';
import { deployAll, deployOne } from './deploy.ts';
import { agree, leads } from './drill.ts';
import { retainedOf } from './teardown.ts';

/** A new Region takes its first copy at its first tick, which comes once a minute. */
const COPY_MS = 150_000;

/** The procedures of docs/OPERATIONS.md on a group that is in use: update, add a Region, remove one. */
export async function living(group: Group, writer: Writer): Promise<void> {
  const { report, target } = group;
  const { spare } = target;
  if (spare === undefined) return;
  const { epoch, leader } = await standingOf(group, group.regions[0]!);
  report.begin('a group that lives: docs/OPERATIONS.md');
  await update(group, leader);
  await leads(group, epoch, leader, group.regions);

  if (target.bootstrap) await report.check(`cdk bootstrap ${spare}`, () => group.bootstrap([spare]));
  await report.check(
    `"Add a Region": deploy with ${spare}, then understudy found --leader ${leader}`,
    async () => {
      group.regions = [...group.regions, spare];
      await deployAll(group);
      await group.understudy(['found', '--leader', leader]);
    },
  );
  await leads(group, epoch, leader, group.regions);
  // While the application writes, no two replicas are read as of the same moment.
  await writer.stop();
  await report.check('it takes a copy and follows', () =>
    eventually('four replicas are equal', COPY_MS, async () => {
      const common = await commonDigest(group, group.regions);
      return common === undefined ? undefined : `${common.items.size} items, digest ${common.digest}`;
    }),
  );

  writer.start();

  const gone = group.regions.find((region) => region !== leader && region !== spare)!;
  await report.check(`"Remove a Region": deploy without ${gone}, then destroy its stack`, async () => {
    group.retained.push(...(await retainedOf(group, [gone])));
    const all = group.regions;
    const without = all.filter((region) => region !== gone);
    group.regions = without;
    await deployAll(group);
    group.regions = all;
    await group.cdk(['destroy', `${group.id}/${gone}`, '--exclusively', '--force']);
    group.regions = without;
    group.removed.push(gone);
  });
  await leads(group, epoch, leader, group.regions);
  await writer.stop();
  await agree(group, writer);
}

/** One Region after the other, the leader's last, while the application writes. */
async function update(group: Group, leader: string): Promise<void> {
  const order = [...group.regions.filter((region) => region !== leader), leader];
  await group.report.check(
    '"Update": one Region after the other, the leader last',
    async () => {
      group.ttlSeconds += 1;
      for (const region of order) await deployOne(group, region);
    },
    () => order.join(', '),
  );
}
