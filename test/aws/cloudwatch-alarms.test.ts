import { SetAlarmStateCommand } from '@aws-sdk/client-cloudwatch';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CloudWatchAlarms } from '#lib/aws/cloudwatch-alarms.ts';
import { alarmName, UNSAFE_ALARM } from '#lib/domain/alarms.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { alarmStatesContract, NAMES } from '../contracts/alarm-states.contract.ts';
import { lagAlarm, startTestCloudWatch, type TestCloudWatch } from '../support/cloudwatch.ts';

const STATES = { ok: 'OK', alarm: 'ALARM', unknown: 'INSUFFICIENT_DATA' } as const;
const ORDERS = parseGroupId('orders');
const servers: TestCloudWatch[] = [];

/** A CloudWatch that has the alarms of NAMES. */
async function start(): Promise<TestCloudWatch> {
  const named = NAMES.map((name) => alarmName(ORDERS, name));
  const unsafe = alarmName(ORDERS, UNSAFE_ALARM);
  const server = await startTestCloudWatch({
    alarms: {
      metric: named.filter((name) => name !== unsafe).map((name) => lagAlarm(name)),
      composite: [
        {
          AlarmName: unsafe,
          AlarmDescription: '[page] Unsafe. See docs/RUNBOOK.md#alarm-unsafe',
          AlarmRule: `ALARM("${alarmName(ORDERS, 'applied-lag')}")`,
        },
      ],
    },
  });
  servers.push(server);
  return server;
}

afterAll(async () => {
  await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
});

alarmStatesContract('CloudWatch', async () => {
  const { client } = await start();
  return {
    alarms: new CloudWatchAlarms({ cloudwatch: client, group: ORDERS }),
    other: new CloudWatchAlarms({ cloudwatch: client, group: parseGroupId('orders-eu') }),
    set: async (alarm, state, StateReason) => {
      const AlarmName = alarmName(ORDERS, alarm);
      await client.send(new SetAlarmStateCommand({ AlarmName, StateValue: STATES[state], StateReason }));
    },
  };
});

describe('CloudWatch that does not say', () => {
  let server: TestCloudWatch;
  beforeAll(async () => {
    server = await start();
  });
  const read = ({ client } = server) =>
    new CloudWatchAlarms({ cloudwatch: client, group: ORDERS }).of(['applied-lag']);

  test('because it is asked too often is a failure by name, and is asked again later', async () => {
    server.api.throttle(1);
    await expect(read()).rejects.toMatchObject({
      code: 'ALARMS_UNREADABLE',
      retry: 'later',
      message: expect.stringContaining('ThrottlingException: Rate exceeded'),
      cause: { name: 'ThrottlingException' },
    });
    expect(await read()).toHaveLength(1);
  });

  test('because there is none is a failure by name', async () => {
    const none = new CloudWatchAlarms({ cloudwatch: undefined, group: ORDERS });
    await expect(none.of(['applied-lag'])).rejects.toMatchObject({ code: 'ALARMS_UNREADABLE' });
  });

  test('because it is away is a failure by name', async () => {
    const gone = await start();
    await gone.api.close();
    await expect(read(gone)).rejects.toMatchObject({ code: 'ALARMS_UNREADABLE' });
  });
});

test('a group that asks for single alarms alone does not ask for composite ones, which it may not read', async () => {
  const { client } = await start();
  const asked: unknown[] = [];
  client.middlewareStack.add(
    (next) => async (args) => {
      asked.push(args.input);
      return next(args);
    },
    { step: 'initialize' },
  );
  const alarms = new CloudWatchAlarms({ cloudwatch: client, group: ORDERS });
  await alarms.of(['applied-lag']);
  await alarms.of(['applied-lag', UNSAFE_ALARM]);
  expect(asked).toMatchObject([
    { AlarmTypes: ['MetricAlarm'] },
    { AlarmTypes: ['MetricAlarm', 'CompositeAlarm'] },
  ]);
});
