import { paginateListMetrics } from '@aws-sdk/client-cloudwatch';
import {
  CloudWatchLogsClient,
  paginateDescribeLogGroups,
  paginateFilterLogEvents,
} from '@aws-sdk/client-cloudwatch-logs';
import {
  DescribeExecutionCommand,
  paginateGetExecutionHistory,
  paginateListExecutions,
} from '@aws-sdk/client-sfn';
import type { Group } from '../group.ts';
import { itemsOf } from '../replicas.ts';
import { spellingsOf } from '../spellings.ts';

const KINDS = ['logs', 'metrics', 'runs'] as const;

/** What operators and their tools get to read. */
export type Told = Readonly<Record<(typeof KINDS)[number], readonly string[]>>;

/** What the group has told of itself in the Regions that it has now. */
export async function hear(group: Group): Promise<Told> {
  const all = async (read: (group: Group, region: string) => Promise<readonly string[]>) =>
    (await Promise.all(group.regions.map((region) => read(group, region)))).flat();
  return { logs: await all(logsIn), metrics: await all(metricsIn), runs: await all(runsIn) };
}

/** Nothing of what was written to the table is in what operators read: logs, metrics, runs of the workflow. */
export async function secrecy(group: Group, told: readonly Told[]): Promise<void> {
  const { report, secret } = group;
  report.begin('row data stays in the tables and in the log');
  const of = (kind: (typeof KINDS)[number]) => told.flatMap((each) => each[kind]);
  await report.check(
    'all that the group has told of itself was read',
    async () => {
      // It is what was looked for: each kind speaks of the group.
      const silent = KINDS.filter((kind) => !of(kind).some((text) => text.includes(group.id)));
      if (silent.length > 0) throw new Error(`nothing of the group in ${silent.join(', ')}`);
    },
    () => KINDS.map((kind) => `${of(kind).length} ${kind}`).join(', '),
  );
  await report.check(
    'every item has the secret in its key and in its value',
    async () => {
      const items = await itemsOf(group, group.regions[0]!);
      const open = [...items].filter(
        ([key, item]) => !key.includes(secret) || !item.value?.S?.includes(secret),
      );
      if (items.size === 0 || open.length > 0) throw new Error(`${open.length} of ${items.size} have not`);
      return items.size;
    },
    (count) => `${count} items`,
  );
  const spellings = spellingsOf(secret);
  for (const kind of KINDS) {
    await report.check(`${kind} do not have it`, async () => {
      const telling = of(kind).filter((text) => spellings.some((spelling) => text.includes(spelling)));
      if (telling.length > 0) throw new Error(`${telling.length} have, as ${telling[0]!.slice(0, 600)}`);
    });
  }
}

async function logsIn(group: Group, region: string): Promise<readonly string[]> {
  const client = new CloudWatchLogsClient({ region });
  const messages: string[] = [];
  for await (const { logGroups = [] } of paginateDescribeLogGroups({ client }, {})) {
    for (const { logGroupName } of logGroups.filter((each) => each.logGroupName?.includes(group.id))) {
      for await (const { events = [] } of paginateFilterLogEvents({ client }, { logGroupName })) {
        messages.push(...events.map(({ message = '' }) => message));
      }
    }
  }
  client.destroy();
  return messages;
}

async function metricsIn(group: Group, region: string): Promise<readonly string[]> {
  const metrics: string[] = [];
  for await (const { Metrics = [] } of paginateListMetrics({ client: group.cloudwatch(region) }, {})) {
    metrics.push(
      ...Metrics.map((metric) => JSON.stringify(metric)).filter((text) => text.includes(group.id)),
    );
  }
  return metrics;
}

/** Executions with their input, their output, and those of every state. */
async function runsIn(group: Group, region: string): Promise<readonly string[]> {
  const client = group.sfn(region);
  const stateMachineArn = group.workflowOf(region);
  const runs: string[] = [];
  for await (const { executions = [] } of paginateListExecutions({ client }, { stateMachineArn })) {
    for (const { executionArn } of executions) {
      const { input, output, cause } = await client.send(new DescribeExecutionCommand({ executionArn }));
      runs.push(JSON.stringify({ executionArn, input, output, cause }));
      for await (const { events = [] } of paginateGetExecutionHistory({ client }, { executionArn })) {
        runs.push(...events.map((event) => JSON.stringify(event)));
      }
    }
  }
  return runs;
}
