import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { type Standing, standingOf, standingsOf } from '../items.ts';
import { allow, cutOff, forbid, reconnect } from '../real/cut-off.ts';
import { HOME, type Outage } from '../target.ts';
import type { Writer } from '../writer.ts';
import { deployAll, deployOnly, destroyOnly } from './deploy.ts';
import { agree, leads } from './drill.ts';
import { prepareRefusal, refusal } from './refusal.ts';
import { retainedOf } from './teardown.ts';

const FAILOVER_MS = 180_000;
const COPY_MS = 150_000;

/**
 * The leader's Region is lost for good. While the group fails over, no deployment comes between; then another Region takes
 * the lost one's place, by docs/OPERATIONS.md.
 */
export async function loss(group: Group, writer: Writer): Promise<void> {
  const { report, target } = group;
  const [another] = group.removed;
  const { freezing } = target;
  if (freezing === undefined || another === undefined) {
    report.say(
      '== without a Region that is lost for good: nobody can stop one of this cloud, and none would replace it',
    );
    return;
  }
  report.begin("the leader's Region is lost for good");
  const { epoch, leader: lost } = await leaderToLose(group);
  const survivors = group.regions.filter((region) => region !== lost);
  const retained = await retainedOf(group, [lost]);
  await prepareRefusal(group);
  // The failover of the outage was not long ago.
  await group.understudy(['ack']);
  writer.start();
  const winner = await failOver(group, freezing, { epoch, lost, survivors });
  const former = [...survivors, lost, another];
  await replaceBy(group, former, { another, epoch: epoch + 1, lost, survivors, winner });
  await report.check(
    `${lost} answers again: its stack is destroyed, then its roles are free to go`,
    async () => {
      await freezing.bringBack(group, lost);
      const left = group.regions;
      group.regions = former;
      // AWS deletes no role that has a policy of somebody else's: there, the first try ends at the roles.
      await destroyOnly(group, lost).catch(async () => {
        await reconnect(group, lost);
        await destroyOnly(group, lost);
      });
      group.regions = left;
      group.removed.push(lost);
      group.retained.push(...retained);
    },
  );
  await writer.stop();
  await agree(group, writer, new Set(), COPY_MS);
}

/** Who leads; where the leader cannot be stopped, another does from now on. */
async function leaderToLose(group: Group): Promise<Standing> {
  const standing = await standingOf(group, group.regions[0]!);
  if (standing.leader !== HOME) return standing;
  const to = group.regions.find((region) => region !== HOME)!;
  await group.understudy(['switchover', '--to', to]);
  await leads(group, standing.epoch + 1, to, group.regions);
  return standingOf(group, to);
}

type Lost = { readonly epoch: number; readonly lost: string; readonly survivors: readonly string[] };

/** The failover is held at its fence, for as long as a deployment is tried, by forbidding what the fence does. */
async function failOver(group: Group, freezing: Outage, { epoch, lost, survivors }: Lost): Promise<string> {
  const { report, target } = group;
  const seal = {
    functions: ['failover'],
    Action: 'dynamodb:UpdateItem',
    Resource: `arn:aws:dynamodb:*:${target.account}:table/${group.logTable}`,
  };
  const region = survivors.find((each) => each !== HOME)!;
  for (const each of survivors) await forbid(group, each, seal);
  await freezing.lose(group, lost);
  const held = await report.check(
    `${lost} is lost; a failover begins, and is held`,
    () =>
      eventually('the group is failing over', FAILOVER_MS, async () => {
        const standing = await standingOf(group, region);
        return standing.epoch === epoch + 1 && standing.phase === 'failing-over' ? standing : undefined;
      }),
    (standing) => `epoch ${standing.epoch}, ${standing.phase}`,
  );
  await refusal(group, region, /The group is failing-over: \S+ has claimed epoch \d+\./);
  await report.check('the group is as it was: failing over, in the same epoch', async () => {
    const standings = await standingsOf(group, survivors);
    const changed = standings.find((each) => each.epoch !== held.epoch || each.phase !== held.phase);
    if (changed !== undefined) throw new Error(`${changed.region}: epoch ${changed.epoch}, ${changed.phase}`);
  });
  for (const each of survivors) await allow(group, each, seal);
  const winner = await report.check('the failover goes on', () =>
    eventually('a survivor leads', 60_000, async () => {
      const { leader, phase } = await standingOf(group, region);
      return phase === 'leading' ? leader : undefined;
    }),
  );
  await leads(group, epoch + 1, winner, survivors);
  return winner;
}

/** "Replace a Region that is lost for good", by another Region. */
async function replaceBy(
  group: Group,
  withBoth: readonly string[],
  { another, epoch, lost, survivors, winner }: Lost & { readonly another: string; readonly winner: string },
): Promise<void> {
  const { report } = group;
  await report.check(`"Replace a Region", 1: the functions of ${lost} are forbidden everything`, () =>
    cutOff(group, lost),
  );
  await report.check(`2: ${another} is added; ${lost} is left out of the deployment`, async () => {
    group.regions = withBoth;
    group.removed.splice(group.removed.indexOf(another), 1);
    await deployOnly(group, ...survivors, another);
    await group.understudy(['found', '--leader', winner]);
  });
  const left = [...survivors, another];
  await leads(group, epoch, winner, left);
  await report.check(`3: ${lost} is removed`, async () => {
    group.regions = left;
    await deployAll(group);
  });
  await leads(group, epoch, winner, left);
}
