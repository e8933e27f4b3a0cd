import { DescribeAlarmsCommand } from '@aws-sdk/client-cloudwatch';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { DRILL_FAILED } from '#lib/constructs/alarm-specs.ts';
import { alarmName } from '#lib/domain/alarms.ts';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { eventually } from '../eventually.ts';
import { APPROVED_BY, type Group } from '../group.ts';
import { standingOf } from '../items.ts';
import { deployAll } from './deploy.ts';
import { leads } from './drill.ts';

/** The former leader has to follow before it may lead again. */
const DRILL_MS = 240_000;
const MINUTE_MS = 60_000;
/** A schedule has to be there before it is due, or it never fires: its deployment may take this many times the longest one. */
const SLOWER = 1.5;

/** A drill that its schedule starts, in every Region at once: there and back, with evidence. */
export async function scheduledDrill(group: Group): Promise<void> {
  const { report, target } = group;
  if (target.foreign !== undefined) return;
  const { epoch, leader } = await standingOf(group, group.regions[0]!);
  report.begin('a drill as its schedule starts it');
  await report.check('understudy ack: no failover was so recent that there is no drill', async () => {
    await group.understudy(['ack']);
  });
  const dueMs = Math.ceil((Date.now() + SLOWER * group.deployMs) / MINUTE_MS) * MINUTE_MS;
  const due = new Date(dueMs).toISOString().replace('.000', '');
  await report.check(
    'a schedule is deployed',
    async () => {
      group.schedule = cronOf(new Date(dueMs));
      await deployAll(group);
      if (Date.now() >= dueMs) throw new Error(`it took too long: it was due at ${due}`);
    },
    () => group.schedule,
  );
  await report.check(
    'it fires in every Region, and the one that leads has the drill: it passes',
    async () => {
      const boundMs = Math.max(dueMs - Date.now(), 0) + DRILL_MS;
      const kept = JSON.parse(
        await eventually('there is a report', boundMs, () => evidence(group, leader, due, 'report.json')),
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
    },
  );
  await report.check('its page is beside it', async () => {
    const page = await evidence(group, leader, due, 'report.html');
    if (!page.includes(APPROVED_BY)) throw new Error('it does not say who has approved the drill');
    return `${page.length} characters`;
  });
  await report.check('no other Region has begun it, whenever it was told', async () => {
    for (const region of group.regions.filter((each) => each !== leader)) {
      const Prefix = `_drills/${group.id}/${due}/`;
      const { Contents = [] } = await group
        .s3(region)
        .send(new ListObjectsV2Command({ Bucket: group.bucketOf(region), Prefix }));
      if (Contents.length > 0) throw new Error(`${region}: ${Contents.map(({ Key }) => Key).join(', ')}`);
    }
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

/** Once, at this minute, UTC. */
function cronOf(at: Date): string {
  const fields = [at.getUTCMinutes(), at.getUTCHours(), at.getUTCDate(), at.getUTCMonth() + 1];
  return `cron(${fields.join(' ')} ? ${at.getUTCFullYear()})`;
}

async function evidence(group: Group, region: string, due: string, name: string): Promise<string> {
  const Key = `_drills/${group.id}/${due}/${name}`;
  const { Body } = await group.s3(region).send(new GetObjectCommand({ Bucket: group.bucketOf(region), Key }));
  return Body!.transformToString();
}
