import { deleteRetained } from '../delete-retained.ts';
import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { standingOf } from '../items.ts';
import { commonDigest } from '../replicas.ts';
import { HOME } from '../target.ts';
import { whileUnreachable } from '../unreachable.ts';
import type { Writer } from '../writer.ts';
import { deployAll, deployOnly, destroyOnly } from './deploy.ts';
import { agree, leads } from './drill.ts';

/** A new Region takes its first copy at its first tick, which comes once a minute. */
const COPY_MS = 150_000;

/** The procedures of docs/OPERATIONS.md on a group that is in use: update, add a Region, remove one, replace one. */
export async function living(group: Group, writer: Writer): Promise<void> {
  const { report, target } = group;
  const { spare } = target;
  if (spare === undefined) {
    report.say('== without a group that lives: there is no Region to be added');
    return;
  }
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
  const former = group.regions;
  await report.check(`"Remove a Region": deploy without ${gone}`, async () => {
    group.regions = group.regions.filter((region) => region !== gone);
    await deployAll(group);
  });
  await report.check(`its stack is destroyed while ${spare} is unreachable`, async () => {
    const left = group.regions;
    group.regions = former;
    await whileUnreachable(group, spare, () => destroyOnly(group, gone));
    group.regions = left;
    group.removed.push(gone);
  });
  await report.check('"Delete the data": what it has left goes', () => deleteRetained(group, [gone]));
  await leads(group, epoch, leader, group.regions);
  await replace(group, leader, spare);
  await leads(group, epoch, leader, group.regions);
  await writer.stop();
  await agree(group, writer, new Set(), COPY_MS);
}

/** A follower loses stack, tables and bucket, and comes back with nothing. */
async function replace(group: Group, leader: string, lost: string): Promise<void> {
  await group.report.check(
    `"Replace a Region": ${lost} loses all it has, and is deployed afresh`,
    async () => {
      await destroyOnly(group, lost);
      await deleteRetained(group, [lost]);
      await deployOnly(group, lost);
      const advice = (await adviceOn(group)).find(({ kind }) => kind === 'forgotten');
      if (advice === undefined) throw new Error('understudy status says nothing of it');
      return advice.text;
    },
    (text) => text,
  );
  await group.report.check(`understudy found --leader ${leader} takes it in`, async () => {
    await group.understudy(['found', '--leader', leader]);
    const left = (await adviceOn(group)).find(({ kind }) => kind === 'forgotten');
    if (left !== undefined) throw new Error(left.text);
  });
}

async function adviceOn(group: Group): Promise<readonly { readonly kind: string; readonly text: string }[]> {
  const [status] = await group.understudy(['status'], [0, 1]);
  return (status as { advice: readonly { kind: string; text: string }[] }).advice;
}

/** One Region after the other, the leader's last, while the application writes. */
async function update(group: Group, leader: string): Promise<void> {
  const followers = group.regions.filter((region) => region !== leader);
  const away = followers.find((region) => region !== HOME)!;
  const first = followers.find((region) => region !== away)!;
  group.ttlSeconds += 1;
  await group.report.check(`"Update": ${first}, while ${away} is unreachable`, () =>
    whileUnreachable(group, away, () => deployOnly(group, first)),
  );
  await group.report.check(
    '"Update": the others, the leader last',
    async () => {
      for (const region of [away, leader]) await deployOnly(group, region);
    },
    () => `${away}, ${leader}`,
  );
}
