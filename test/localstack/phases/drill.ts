import {
  DescribeExecutionCommand,
  type HistoryEvent,
  paginateGetExecutionHistory,
  StartExecutionCommand,
} from '@aws-sdk/client-sfn';
import { readRecord } from '../dns-record.ts';
import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { decisionsOf, standingsOf } from '../items.ts';
import { commonDigest } from '../replicas.ts';
import type { Writer } from '../writer.ts';
import { noDifference } from './deploy.ts';

const STATES = ['Hand over', 'Repoint', 'Verify', 'Done'];
const STEPS = [
  'yield yielded',
  'claim claimed',
  'fence fenced',
  'elect elected',
  'drain drained',
  'promote promoted',
  // The hand-over flips DNS itself, unless that takes too long: then this step does.
  'repoint ',
  'verify verified',
];
const RUN_MS = 120_000;
/** A first copy goes on with the ticks of apply, which come once a minute. */
const COPY_MS = 150_000;

/** A switchover as one starts it in the console of Step Functions: by a few lines of JSON. */
export async function drill(group: Group, writer: Writer): Promise<void> {
  const { report } = group;
  const [before, , successor] = group.regions as [string, string, string];
  report.begin(`drill: switchover from ${before} to ${successor}`);
  await report.check(`understudy plan --switchover --to ${successor}: it could begin now`, () =>
    eventually('the successor has a whole copy', COPY_MS, async () => {
      const [plan] = await group.understudy(['plan', '--switchover', '--to', successor]);
      const { winner } = plan as { winner?: string };
      return winner === successor ? `${winner} would lead` : undefined;
    }),
  );
  const input = { epoch: 1, kind: 'switchover', successor, trigger: 'drill', reason: 'e2e' };
  const sfn = group.sfn(before);
  const begunMs = Date.now();
  const arn = await report.check('an execution starts', async () => {
    const { executionArn } = await sfn.send(
      new StartExecutionCommand({ stateMachineArn: group.workflowOf(before), input: JSON.stringify(input) }),
    );
    report.say(`      input: ${JSON.stringify(input)}`);
    return executionArn!;
  });
  await report.check('it succeeds', async () => {
    const status = await eventually('the execution ends', RUN_MS, async () => {
      const execution = await sfn.send(new DescribeExecutionCommand({ executionArn: arn }));
      if (execution.status === 'RUNNING') return undefined;
      return execution.status === 'SUCCEEDED' ? execution.status : `${execution.status}: ${execution.cause}`;
    });
    if (status !== 'SUCCEEDED') throw new Error(`${status} ${await lastOutputOf(group, before, arn)}`);
    return `${((Date.now() - begunMs) / 1000).toFixed(1)} s`;
  });
  await report.check('its history has every step', async () => {
    const seen = await statesOf(group, before, arn);
    const missing = STATES.filter((state) => !seen.includes(state));
    if (missing.length > 0) throw new Error(`without ${missing.join(', ')}: ${seen.join(' > ')}`);
    return `${seen.length} states`;
  });
  await report.check('the decision log has every step', async () => {
    const steps = await decisionsOf(group, before, 2);
    const missing = STEPS.filter((step) => !steps.some((seen) => seen.startsWith(step)));
    if (missing.length > 0) throw new Error(`without ${missing.join(', ')}: ${steps.join(', ')}`);
    return steps.join(', ');
  });
  await leads(group, 2, successor, group.regions);
  await report.check('the application goes on at the new leader', () =>
    eventually('a write at the new leader', 30_000, async () => {
      const first = writer.acknowledged.find(({ atMs, target }) => atMs > begunMs && target === successor);
      const last = writer.acknowledged.findLast(({ target }) => target === before);
      if (first === undefined || last === undefined) return undefined;
      report.figure('switchover, seen by a client, ms', first.atMs - last.atMs);
      return first.target;
    }),
  );
  await report.check('understudy reattach --wait: the old leader follows', async () => {
    await group.understudy(['reattach', '--wait', '150']);
  });
  await report.check('nothing diverged', async () => {
    const diverged = await group.understudy(['divergence', 'show']);
    if (diverged.length > 0) throw new Error(JSON.stringify(diverged));
  });
  await report.check('cdk diff finds nothing: who leads is no part of a template', () => noDifference(group));
}

/** Every one of these Regions says that `leader` leads `epoch`, and so does DNS. */
export async function leads(
  group: Group,
  epoch: number,
  leader: string,
  regions: readonly string[],
  boundMs = 60_000,
): Promise<void> {
  await group.report.check(`epoch ${epoch} is led by ${leader}: registers, roles, seals, DNS`, () =>
    eventually('all agree', boundMs, async () => {
      const standings = await standingsOf(group, regions);
      const wrong = standings.find(
        (each) =>
          each.epoch !== epoch ||
          each.leader !== leader ||
          each.phase !== 'leading' ||
          each.roleEpoch !== epoch ||
          each.roleLeader !== leader ||
          each.sealedEpoch !== epoch,
      );
      if (wrong !== undefined) {
        throw new Error(
          JSON.stringify(wrong, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
        );
      }
      const record = await readRecord(group);
      if (record?.epoch !== epoch || record.target !== group.endpointOf(leader)) {
        throw new Error(`DNS names ${record?.target}, epoch ${record?.epoch}`);
      }
      return regions.join(', ');
    }),
  );
}

/** All replicas are equal, and hold what the application was told that they hold. */
export async function agree(
  group: Group,
  writer: Writer,
  saved: ReadonlySet<string> = new Set(),
  boundMs = 120_000,
): Promise<void> {
  await group.report.check('the replicas are equal, and hold every acknowledged write', () =>
    eventually('all replicas are equal', boundMs, async () => {
      const common = await commonDigest(group, group.regions);
      if (common === undefined) return undefined;
      for (const [sk, { acknowledged, doubtful }] of writer.told) {
        const found = common.items.get(`${group.partition('writer')}/${sk}`)?.value?.S ?? null;
        const isKnown = found === acknowledged || doubtful.has(found) || saved.has(sk);
        if (!isKnown) throw new Error(`${sk} is ${found}, and ${acknowledged} was acknowledged`);
      }
      return `${writer.acknowledged.length} writes, ${common.items.size} items, digest ${common.digest}`;
    }),
  );
}

async function statesOf(group: Group, region: string, arn: string): Promise<readonly string[]> {
  const events = await historyOf(group, region, arn);
  return events.flatMap(({ stateEnteredEventDetails: entered }) => entered?.name ?? []);
}

/** The state document as it was when the run ended. */
async function lastOutputOf(group: Group, region: string, arn: string): Promise<string> {
  const events = await historyOf(group, region, arn);
  return events.flatMap(({ stateExitedEventDetails: exited }) => exited?.output ?? []).at(-1) ?? '';
}

async function historyOf(
  group: Group,
  region: string,
  executionArn: string,
): Promise<readonly HistoryEvent[]> {
  const history: HistoryEvent[] = [];
  const pages = paginateGetExecutionHistory({ client: group.sfn(region) }, { executionArn });
  for await (const { events = [] } of pages) history.push(...events);
  return history;
}
