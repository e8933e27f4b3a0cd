import { DescribeAlarmHistoryCommand, DescribeAlarmsCommand } from '@aws-sdk/client-cloudwatch';
import { alarmsIn, UNSAFE } from '#lib/constructs/alarm-specs.ts';
import { alarmName } from '#lib/domain/alarms.ts';
import type { Diagnosis } from '#lib/domain/doctor.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { standingOf } from '../items.ts';

/** A figure takes two minutes to be judged, and three of five have to be good before a lag counts as over. */
const JUDGED_MS = 240_000;

const OF_REPLICA = alarmsIn('replica', 'dynamodb');

/** What CloudWatch says of the group, by its public API, and the doctor. */
export async function alarms(group: Group, lost: string): Promise<void> {
  const { report } = group;
  const { leader } = await standingOf(group, group.regions[0]!);
  report.begin('alarms');
  await report.check(
    'every Region has every alarm',
    async () => {
      for (const region of group.regions) {
        const states = await statesIn(group, region);
        const missing = [...OF_REPLICA, UNSAFE].filter(({ name }) => !states.has(nameOf(group, name)));
        if (missing.length > 0)
          throw new Error(`${region} lacks ${missing.map(({ name }) => name).join(', ')}`);
      }
    },
    () => `${OF_REPLICA.length + 1} in each of ${group.regions.length} Regions`,
  );
  await report.check(`"divergence" has gone off in ${lost}, which had what the group has not`, () =>
    eventually('the alarm goes off', JUDGED_MS, async () => {
      const { AlarmHistoryItems = [] } = await group.cloudwatch(lost).send(
        new DescribeAlarmHistoryCommand({
          AlarmName: nameOf(group, 'divergence'),
          HistoryItemType: 'StateUpdate',
        }),
      );
      const off = AlarmHistoryItems.find(({ HistorySummary }) => HistorySummary?.endsWith('to ALARM'));
      return off?.HistorySummary;
    }),
  );
  await report.check(`nothing is to be paged on at the leader, ${leader}`, () =>
    eventually('"unsafe" is OK', JUDGED_MS, async () => {
      const states = await statesIn(group, leader);
      if (states.get(nameOf(group, UNSAFE.name)) === 'OK') return 'OK';
      const off = OF_REPLICA.map(({ name }) => name).filter(
        (name) => states.get(nameOf(group, name)) === 'ALARM',
      );
      throw new Error(`in alarm: ${off.join(', ')}`);
    }),
  );
  await report.check(
    'understudy doctor could look at everything, and finds nothing that fails',
    async () => {
      const all = (await group.understudy(['doctor'], [0, 1])) as readonly Diagnosis[];
      const bad = all.filter(({ verdict }) => verdict === 'failed' || verdict === 'unknown');
      if (bad.length > 0 || all.length === 0) throw new Error(JSON.stringify(bad));
      return all;
    },
    (all) => `${all.filter(({ verdict }) => verdict === 'ok').length} of ${all.length} checks are well`,
  );
}

function nameOf(group: Group, alarm: string): string {
  return alarmName(parseGroupId(group.id), alarm);
}

async function statesIn(group: Group, region: string): Promise<ReadonlyMap<string, string>> {
  const { MetricAlarms = [], CompositeAlarms = [] } = await group.cloudwatch(region).send(
    new DescribeAlarmsCommand({
      AlarmNamePrefix: group.nameOf(''),
      AlarmTypes: ['MetricAlarm', 'CompositeAlarm'],
      MaxRecords: 100,
    }),
  );
  return new Map(
    [...MetricAlarms, ...CompositeAlarms].map(({ AlarmName, StateValue }) => [AlarmName!, StateValue!]),
  );
}
