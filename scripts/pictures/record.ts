import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { DrillReport } from '#lib/domain/control/drill.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { type KeySchema, parseGroup } from '#lib/domain/topology.ts';
import { until, untilCaughtUp, untilFollowing } from '#lib/local/demo/convergence.ts';
import { commitTo, Workload } from '#lib/local/demo/workload.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { RequestedWorkflow } from '#lib/local/workflow/requests.ts';
import type { RunEvent } from '#lib/local/workflow/run-history.ts';
import type { RecordedRun, Recording } from './recording.ts';

const [EU, US, AP] = ['eu-west-1', 'us-east-1', 'ap-southeast-1'].map(parseRegionId) as [
  RegionId,
  RegionId,
  RegionId,
];
const KEY: KeySchema = [{ name: 'id', type: 'S' }];
const GROUP = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: KEY },
  regions: [EU, US, AP].map((name) => ({ name })),
});
const ORDERS = 200;
/** How long the person thinks, ms: the run is seen to wait. */
const THOUGHT_MS = 2_000;

const THERE = {
  kind: 'switchover',
  epoch: 1,
  successor: US,
  trigger: 'drill',
  reason: 'drill of the first Tuesday',
};
const BACK = { kind: 'switchover', epoch: 2, successor: EU, trigger: 'drill' };

/**
 * Has the drills of docs/DRILLS.md in an embedded cloud, by the workflow and the functions that are deployed: one that a
 * person approves; the same once more, which is refused; one back; and one as the schedule starts it. Throws if anything
 * does not come to an end; which end that was, the recording tells.
 *
 * @param say hears what it is at, for people.
 */
export async function record(signal: AbortSignal, say: (line: string) => void): Promise<Recording> {
  const events: RunEvent[] = [];
  await using cloud = await EmbeddedCloud.start({
    group: GROUP,
    leader: EU,
    failover: { profile: 'balanced', ttlSeconds: 1, propagationMs: 100 },
    signal,
    onStep: say,
    onMessage: ({ message }) => {
      const { event, kind } = message as { readonly kind?: string; readonly event?: RunEvent };
      if (kind === 'workflow' && event !== undefined) events.push(event);
    },
  });
  const peers = cloud.peers();
  const come = async (what: string, isSo: () => Promise<boolean> | boolean) => {
    say(what);
    await until(signal, `it did not come to this: ${what}`, async () => isSo());
  };
  const ended = async (name: string, input: object): Promise<RecordedRun> => {
    const own = () => events.filter(({ run }) => run === name);
    await come(`${name} ends`, () => own().some(({ kind }) => kind === 'succeeded' || kind === 'failed'));
    return { name, input, events: own() };
  };
  const start = async (region: RegionId, run: string, input: object) => {
    const { controlTable: table } = cloud.resources;
    const { dynamodb } = peers.clients(region);
    const workflow = new RequestedWorkflow({ dynamodb, group: GROUP.group, table });
    // The state machine fills in what is left out.
    await workflow.start({ ...input, run } as FailoverInput);
  };
  const plain = async (region: RegionId, run: string, input: object) => {
    await start(region, run, input);
    return ended(run, input);
  };

  say('orders are written, and followed');
  await untilFollowing(peers, [US, AP], signal);
  const shop = new Workload(KEY, Math.random);
  const commit = commitTo(peers.clients(EU).dynamodb, 'orders');
  for (let order = 0; order < ORDERS; order += 1) await commit(shop.next(Date.now()));
  await untilCaughtUp(peers, [US, AP], signal);

  const asked = { ...THERE, approval: true };
  await start(EU, 'first-tuesday', asked);
  await come('it waits for a person', async () => (await peers.approvals(EU).pending()) !== undefined);
  await sleep(THOUGHT_MS, undefined, { signal });
  await peers.approvals(EU).answer('first-tuesday', { outcome: 'approved', by: 'mia' });
  const drill = await ended('first-tuesday', asked);
  const refused = await plain(EU, 'second-click', THERE);
  await untilCaughtUp(peers, [EU, AP], signal);
  await plain(US, 'back-again', BACK);
  await untilCaughtUp(peers, [US, AP], signal);

  for (const { name } of GROUP.regions) cloud.kill(name, 'worker', 'SIGUSR2');
  const { s3 } = peers.clients(EU);
  const Bucket = cloud.resources.buckets[EU]!;
  let key: string | undefined;
  await come('a scheduled drill leaves its report', async () => {
    const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: '_drills/' }));
    key = Contents.map(({ Key }) => Key!).find((each) => each.endsWith('/report.json'));
    return key !== undefined;
  });
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: key! }));
  const report = JSON.parse(await Body!.transformToString()) as DrillReport;

  return { group: GROUP.group, region: EU, drill, refused, report };
}
