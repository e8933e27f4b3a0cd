import { setTimeout as sleep } from 'node:timers/promises';
import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { paginateListExecutions } from '@aws-sdk/client-sfn';
import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { standingOf, standingsOf } from '../items.ts';
import { itemsOf } from '../replicas.ts';
import type { Writer } from '../writer.ts';
import { noDifference } from './deploy.ts';
import { agree, leads } from './drill.ts';

const ZOMBIES = 5;
const FAILOVER_MS = 180_000;

/**
 * The leader's Region stops where it stands; the deployed system fails over by itself; the Region comes back. Answers
 * which it was.
 */
export async function outage(group: Group, writer: Writer): Promise<string | undefined> {
  const { report, target } = group;
  const { outage: way } = target;
  if (way === undefined) return undefined;
  const lost = (await standingOf(group, group.regions[0]!)).leader;
  const others = group.regions.filter((region) => region !== lost);
  report.begin(`outage of the leader's Region, ${lost}`);
  const lastBefore = writer.acknowledged.at(-1)!.atMs;
  await way.lose(group, lost);
  const frozenMs = Date.now();
  const zombies = sendZombies(group, lost);

  const winner = await report.check(
    'the sentinels fail over by themselves',
    () =>
      eventually('another Region leads epoch 3', FAILOVER_MS, async () => {
        const [standing] = await standingsOf(group, others.slice(0, 1));
        return standing!.epoch === 3 && standing!.phase === 'leading' ? standing!.leader : undefined;
      }),
    (leader) => `${leader} leads after ${((Date.now() - frozenMs) / 1000).toFixed(1)} s`,
  );
  await leads(group, 3, winner, others);
  await report.check('the run is in the history of a state machine, started by votes', () =>
    eventually('an execution of epoch 3 has succeeded', 60_000, async () => {
      for (const region of others) {
        const pages = paginateListExecutions(
          { client: group.sfn(region) },
          { stateMachineArn: group.workflowOf(region), statusFilter: 'SUCCEEDED' },
        );
        for await (const { executions = [] } of pages) {
          const run = executions.find(({ name }) => name?.startsWith(`${group.id}-3-`));
          if (run !== undefined) return `${run.name}, in ${region}`;
        }
      }
      return undefined;
    }),
  );
  await report.check('the application goes on at the new leader', () =>
    eventually('a write at the new leader', 60_000, async () => {
      const first = writer.acknowledged.find(({ atMs, target: at }) => atMs > frozenMs && at === winner);
      if (first === undefined) return undefined;
      report.figure('failover, seen by a client, s', Math.round((first.atMs - lastBefore) / 100) / 10);
      return first.target;
    }),
  );

  await way.bringBack(group, lost);
  await zombies;
  report.say(`      ${lost} goes on, where it still leads epoch 2 as far as it knows`);
  await thawed(group, writer, { lost, winner, others });
  return lost;
}

/** Writes that reach the frozen Region, and that nobody hears of again: it makes them when it wakes up. */
async function sendZombies(group: Group, region: string): Promise<void> {
  const puts = Array.from({ length: ZOMBIES }, (_, n) =>
    group
      .dynamodb(region)
      .send(
        new PutItemCommand({
          TableName: group.table,
          Item: {
            pk: { S: group.partition('zombie') },
            sk: { S: `${n}` },
            value: { S: `written by an old leader ${group.secret}` },
          },
        }),
        { abortSignal: AbortSignal.timeout(3_000) },
      )
      .catch(() => {}),
  );
  await Promise.all(puts);
}

async function thawed(
  group: Group,
  writer: Writer,
  { lost, winner, others }: { lost: string; winner: string; others: readonly string[] },
): Promise<void> {
  const { report } = group;
  await leads(group, 3, winner, group.regions, 120_000);
  const changes = await report.check(
    "the zombie's writes are in no log; they are reported",
    () =>
      eventually('the report is saved', 150_000, async () => {
        const found = (await group.understudy(['divergence', 'show', '--region', lost])) as readonly Change[];
        const zombies = found.filter(({ key }) => JSON.stringify(key).includes('zombie'));
        if (zombies.length < ZOMBIES) throw new Error(`${zombies.length} of ${ZOMBIES} are reported`);
        const logged = zombies.filter(({ lsn }) => lsn !== null);
        if (logged.length > 0) throw new Error(`${logged.length} are in the old leader's log`);
        return found;
      }),
    (found) => `${found.length} changes, ${ZOMBIES} of them made after the failover`,
  );
  await report.check('no other Region has them', async () => {
    for (const region of others) {
      const items = await itemsOf(group, region);
      if ([...items.keys()].some((key) => key.startsWith(group.partition('zombie'))))
        throw new Error(`${region} has`);
    }
  });
  await report.check('understudy reattach --wait: the old leader follows', async () => {
    await group.understudy(['reattach', '--wait', '150']);
  });
  await report.check('understudy history --replay: every decision comes out the same', async () => {
    await group.understudy(['history', '--replay']);
  });
  await sleep(1_000);
  await writer.stop();
  const saved = new Set(
    changes.flatMap(({ key }) => [...JSON.stringify(key).matchAll(/order-\d+/g)].map(([name]) => name)),
  );
  await agree(group, writer, saved);
  await report.check('cdk diff finds nothing after the failover', () => noDifference(group));
}

type Change = { readonly kind: string; readonly key: unknown; readonly lsn: string | null };
