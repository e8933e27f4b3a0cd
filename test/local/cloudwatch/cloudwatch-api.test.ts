import {
  DescribeAlarmsCommand,
  PutMetricDataCommand,
  SetAlarmStateCommand,
} from '@aws-sdk/client-cloudwatch';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { MetricAlarmDefinition } from '#lib/local/cloudwatch/alarm-definition.ts';
import { lagAlarm, startTestCloudWatch, type TestCloudWatch } from '../../support/cloudwatch.ts';

const MINUTE = 60_000;
const EU = lagAlarm('lag-eu');
const COUNT = lagAlarm('count', {
  MetricName: 'RejectedRecords',
  Statistic: 'Sum',
  EvaluationPeriods: 1,
  DatapointsToAlarm: 1,
  Threshold: 2,
  TreatMissingData: 'notBreaching',
});
const UNSAFE = {
  AlarmName: 'unsafe',
  AlarmDescription: '[page] Unsafe.',
  AlarmRule: 'ALARM("lag-eu") OR ALARM("count")',
};

let server: TestCloudWatch;
let nowMs: number;

async function start(...metric: readonly MetricAlarmDefinition[]): Promise<void> {
  nowMs = 1_700_000_040_000;
  server = await startTestCloudWatch({ alarms: { metric, composite: [UNSAFE] }, now: () => nowMs });
}
beforeEach(() => start(EU, COUNT));
afterEach(() => server[Symbol.asyncDispose]());

async function put(
  MetricName: string,
  Value: number,
  region = 'eu-west-1',
  Timestamp = new Date(nowMs),
): Promise<void> {
  const Dimensions = [
    { Name: 'region', Value: region },
    { Name: 'group', Value: 'orders' },
  ];
  const MetricData = [{ MetricName, Value, Timestamp, Dimensions }];
  await server.client.send(new PutMetricDataCommand({ Namespace: 'Understudy', MetricData }));
}

/** Minutes pass, each with this figure in it; undefined for a minute without. */
async function pass(...lags: readonly (number | undefined)[]): Promise<void> {
  for (const lag of lags) {
    if (lag !== undefined) await put('AppliedLagSeconds', lag);
    nowMs += MINUTE;
  }
}

async function stateOf(name: string): Promise<string | undefined> {
  const { MetricAlarms = [], CompositeAlarms = [] } = await server.client.send(
    new DescribeAlarmsCommand({ AlarmNames: [name], AlarmTypes: ['MetricAlarm', 'CompositeAlarm'] }),
  );
  return [...MetricAlarms, ...CompositeAlarms][0]?.StateValue;
}

describe('an alarm', () => {
  test('that is new waits for as many minutes as it evaluates', async () => {
    await pass(0, 0, 0);
    expect(await stateOf('lag-eu')).toBe('INSUFFICIENT_DATA');
    await pass(0, 0, 0);
    expect(await stateOf('lag-eu')).toBe('OK');
  });

  test('is on once enough of its minutes breach, and off once too few do', async () => {
    await pass(0, 0, 0, 0, 0, 0, 61, 0, 61);
    expect(await stateOf('lag-eu')).toBe('OK');
    await pass(61);
    expect(await stateOf('lag-eu')).toBe('ALARM');
    await pass(60, 60);
    expect(await stateOf('lag-eu')).toBe('OK');
  });

  test('whose figures stay away is on, if it takes that for a breach', async () => {
    await pass(0, 0, 0, 0, 0, 0, undefined, undefined, undefined);
    expect(await stateOf('lag-eu')).toBe('OK');
    await pass(undefined, undefined);
    expect(await stateOf('lag-eu')).toBe('ALARM');
    expect(await stateOf('count')).toBe('OK');
  });

  test('knows when it went on, whenever it is asked', async () => {
    await pass(0, 0, 0, 0, 0, 0, 61, 61, 61);
    const onMs = Math.floor(nowMs / MINUTE) * MINUTE;
    await pass(61, 61, 61);
    const { MetricAlarms } = await server.client.send(new DescribeAlarmsCommand({ AlarmNames: ['lag-eu'] }));
    expect(MetricAlarms![0]).toMatchObject({ StateValue: 'ALARM', Threshold: 60 });
    expect(MetricAlarms![0]!.StateTransitionedTimestamp!.getTime()).toBe(onMs);
  });

  test('counts together what is sent in one minute', async () => {
    await pass(0, 0);
    for (let i = 0; i < 3; i++) await put('RejectedRecords', 1);
    await pass(0);
    expect(await stateOf('count')).toBe('ALARM');
    await pass(0, 0, 0);
    expect(await stateOf('count')).toBe('OK');
  });

  test("takes no other Region's figure for its own", async () => {
    await pass(0, 0, 0, 0, 0, 0);
    for (let i = 0; i < 5; i++) {
      await put('AppliedLagSeconds', 999, 'us-east-1');
      await pass(0);
    }
    expect(await stateOf('lag-eu')).toBe('OK');
  });

  test('that is set by hand stays so until it is next evaluated', async () => {
    await pass(0, 0, 0, 0, 0, 0);
    const asked = { AlarmName: 'lag-eu', StateValue: 'ALARM', StateReason: 'a drill' } as const;
    await server.client.send(new SetAlarmStateCommand(asked));
    expect(await stateOf('lag-eu')).toBe('ALARM');
    expect(await stateOf('unsafe')).toBe('ALARM');
    await pass(0);
    expect(await stateOf('lag-eu')).toBe('OK');
    expect(await stateOf('unsafe')).toBe('OK');
  });

  test('of an unknown name can not be set', async () => {
    const asked = { AlarmName: 'nobody', StateValue: 'OK', StateReason: '' } as const;
    await expect(server.client.send(new SetAlarmStateCommand(asked))).rejects.toMatchObject({
      name: 'ResourceNotFound',
    });
  });
});

describe('the API', () => {
  test('takes what the client compresses', async () => {
    await pass(0, 0, 0, 0, 0, 0);
    for (let i = 0; i < 3; i++) {
      const MetricData = Array.from({ length: 200 }, () => ({
        MetricName: 'AppliedLagSeconds',
        Value: 300,
        Timestamp: new Date(nowMs),
        Dimensions: EU.Dimensions,
      }));
      await server.client.send(new PutMetricDataCommand({ Namespace: 'Understudy', MetricData }));
      nowMs += MINUTE;
    }
    expect(await stateOf('lag-eu')).toBe('ALARM');
  });

  test('answers page by page, in the order of names, by prefix and by state', async () => {
    const ask = (input: object) => server.client.send(new DescribeAlarmsCommand(input));
    const types = { AlarmTypes: ['MetricAlarm', 'CompositeAlarm'] };
    const first = await ask({ ...types, MaxRecords: 2 });
    expect(first.MetricAlarms!.map(({ AlarmName }) => AlarmName)).toEqual(['count', 'lag-eu']);
    const second = await ask({ ...types, MaxRecords: 2, NextToken: first.NextToken });
    expect([second.MetricAlarms, second.NextToken]).toEqual([[], undefined]);
    expect(second.CompositeAlarms!.map(({ AlarmName }) => AlarmName)).toEqual(['unsafe']);
    expect((await ask({ AlarmNamePrefix: 'lag' })).MetricAlarms).toHaveLength(1);
    expect((await ask({ StateValue: 'ALARM' })).MetricAlarms).toEqual([]);
    expect((await ask({})).CompositeAlarms).toEqual([]);
  });

  test.each([
    ['an unknown token', { NextToken: 'x' }, 'InvalidNextToken'],
    [
      'names and a prefix',
      { AlarmNames: ['a'], AlarmNamePrefix: 'a' },
      'InvalidParameterCombinationException',
    ],
    ['too many at a time', { MaxRecords: 101 }, 'ValidationException'],
  ])('refuses %s', async (_, input, name) => {
    await expect(server.client.send(new DescribeAlarmsCommand(input))).rejects.toMatchObject({ name });
  });
});
