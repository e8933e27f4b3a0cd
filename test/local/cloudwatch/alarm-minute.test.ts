import { expect, test } from 'vitest';
import { LAG_ALARMS } from '#lib/domain/alarms.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { alarmMinuteOf } from '#lib/local/cloudwatch/alarm-minute.ts';
import { deployedAlarms } from '#lib/local/cloudwatch/deployed-alarms.ts';
import { LocalCloudWatch } from '#lib/local/cloudwatch/local-cloudwatch.ts';
import { START_TIMEOUT_MS } from '#lib/local/supervised.ts';
import { AP, EU, US } from '../../support/memory-group.ts';

const GROUP = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
  regions: [EU, US, AP].map((name) => ({ name })),
});

test.each(Object.values(PROFILES))(
  'no lag alarm decides the first failover of a new group: $name',
  (profile) => {
    const { leaseMs, marginMs, maxLagMs, takeoverMs } = profile;
    const minuteMs = alarmMinuteOf(profile);
    let nowMs = 1_000_000;
    const alarms = deployedAlarms(GROUP, US, maxLagMs);
    const cloudwatch = new LocalCloudWatch({ alarms, minuteMs, now: () => nowMs });
    const lagAlarms = alarms.metric.filter(({ AlarmName }) =>
      LAG_ALARMS.some((name) => AlarmName.endsWith(name)),
    );
    expect(lagAlarms).toHaveLength(LAG_ALARMS.length);
    // The functions come up as late as they may, send twice, and then nobody knows the lag any more.
    nowMs += START_TIMEOUT_MS;
    for (let times = 0; times < 2; times++) {
      nowMs += minuteMs / 2;
      cloudwatch.put(
        lagAlarms.map(({ Namespace, MetricName, Dimensions }) => ({
          namespace: Namespace,
          name: MetricName,
          dimensions: Object.fromEntries(Dimensions.map(({ Name, Value }) => [Name, Value])),
          value: 0,
          atMs: nowMs,
        })),
      );
    }
    nowMs += leaseMs + marginMs + takeoverMs;
    const names = lagAlarms.map(({ AlarmName }) => AlarmName);
    const watched = cloudwatch.describe().filter(({ definition }) => names.includes(definition.AlarmName));
    expect(watched.map(({ state }) => state.value)).not.toContain('ALARM');
  },
);
