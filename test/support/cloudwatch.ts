import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { ApiServer } from '#lib/local/api-server.ts';
import type { AlarmDefinitions, MetricAlarmDefinition } from '#lib/local/cloudwatch/alarm-definition.ts';
import { CloudWatchApi } from '#lib/local/cloudwatch/cloudwatch-api.ts';
import { LocalCloudWatch } from '#lib/local/cloudwatch/local-cloudwatch.ts';
import { freePort } from '#lib/local/ports.ts';

export type TestCloudWatch = AsyncDisposable & {
  readonly api: ApiServer;
  readonly endpoint: string;
  readonly client: CloudWatchClient;
};

/** A CloudWatch-compatible server with a client of it, which tries once. */
export async function startTestCloudWatch(given: {
  readonly alarms: AlarmDefinitions;
  readonly minuteMs?: number;
  readonly now?: () => number;
}): Promise<TestCloudWatch> {
  const { alarms, minuteMs = 60_000, now = () => Date.now() } = given;
  const port = await freePort();
  const api = await ApiServer.open(
    port,
    new CloudWatchApi(new LocalCloudWatch({ alarms, minuteMs, now }), now),
  );
  const endpoint = `http://127.0.0.1:${port}`;
  const client = new CloudWatchClient({
    endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
  return {
    api,
    endpoint,
    client,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await api.close();
    },
  };
}

/** An alarm on the greatest lag of one Region: 3 of 5 minutes above 60, a missing minute being a breach. */
export function lagAlarm(
  AlarmName: string,
  given: Partial<MetricAlarmDefinition> = {},
): MetricAlarmDefinition {
  return {
    AlarmName,
    AlarmDescription: `[page] It lags. See docs/RUNBOOK.md#${AlarmName.replace(/^.*?(alarm|applied|durable)/, 'alarm-$1')}`,
    Namespace: 'Understudy',
    MetricName: 'AppliedLagSeconds',
    Dimensions: [
      { Name: 'group', Value: 'orders' },
      { Name: 'region', Value: 'eu-west-1' },
    ],
    Statistic: 'Maximum',
    Period: 60,
    EvaluationPeriods: 5,
    DatapointsToAlarm: 3,
    Threshold: 60,
    ComparisonOperator: 'GreaterThanThreshold',
    TreatMissingData: 'breaching',
    ...given,
  };
}
