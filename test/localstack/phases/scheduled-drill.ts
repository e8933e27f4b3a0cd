import { DescribeAlarmsCommand } from '@aws-sdk/client-cloudwatch';
import { InvokeCommand } from '@aws-sdk/client-lambda';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { DRILL_FAILED } from '#lib/constructs/alarm-specs.ts';
import { alarmName } from '#lib/domain/alarms.ts';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { eventually } from '../eventually.ts';
import { APPROVED_BY, type Group } from '../group.ts';
import { standingOf } from '../items.ts';
import { leads } from './drill.ts';

/** The former leader has to follow before it may lead again. */
const DRILL_MS = 240_000;

/** A drill as its schedule starts it, in every Region at once: there and back, with evidence. */
export async function scheduledDrill(group: Group): Promise<void> {
  const { report, target } = group;
  if (target.foreign !== undefined) return;
  const { epoch, leader } = await standingOf(group, group.regions[0]!);
  report.begin('a drill as its schedule starts it');
  await report.check('understudy ack: no failover was so recent that there is no drill', async () => {
    await group.understudy(['ack']);
  });
  const due = new Date().toISOString();
  await report.check('every Region is told, and the one that leads has it: it passes', async () => {
    const Payload = JSON.stringify({ kind: 'drill', due });
    await Promise.all(
      group.regions.map((region) =>
        group
          .lambda(region)
          .send(new InvokeCommand({ FunctionName: group.nameOf('drill'), InvocationType: 'Event', Payload })),
      ),
    );
    const kept = JSON.parse(
      await eventually('there is a report', DRILL_MS, () => evidence(group, leader, due, 'report.json')),
    ) as DrillReport;
    if (kept.outcome !== 'passed') throw new Error(JSON.stringify(kept));
    if (kept.approvedBy !== APPROVED_BY) throw new Error(`approved by ${kept.approvedBy}`);
    const { back, there } = kept;
    // That the last write is logged is proven by the stream's shards, which the function must be able to list.
    const unproven = [there, back].find(({ timeline }) => JSON.stringify(timeline).includes('"unproven"'));
    if (unproven !== undefined) throw new Error(JSON.stringify(unproven));
    const ways = [there, back].map(
      ({ from, rpo, rtoMs, to }) => `${from} to ${to} ${rtoMs} ms, RPO ${rpo.records ?? 'unknown'}`,
    );
    return ways.join('; ');
  });
  await report.check('its page is beside it', async () => {
    const page = await evidence(group, leader, due, 'report.html');
    if (!page.includes(APPROVED_BY)) throw new Error('it does not say who has approved the drill');
    return `${page.length} characters`;
  });
  await leads(group, epoch + 2, leader, group.regions);
  await report.check(`the alarm ${DRILL_FAILED.name} is there, and is not on`, async () => {
    const AlarmNames = [alarmName(parseGroupId(group.id), DRILL_FAILED.name)];
    for (const region of group.regions) {
      const { MetricAlarms = [] } = await group
        .cloudwatch(region)
        .send(new DescribeAlarmsCommand({ AlarmNames }));
      const state = MetricAlarms[0]?.StateValue;
      if (state === undefined || state === 'ALARM') throw new Error(`${region}: ${state}`);
    }
  });
}

async function evidence(group: Group, region: string, due: string, name: string): Promise<string> {
  const Key = `_drills/${group.id}/${due}/${name}`;
  const { Body } = await group.s3(region).send(new GetObjectCommand({ Bucket: group.bucketOf(region), Key }));
  return Body!.transformToString();
}
