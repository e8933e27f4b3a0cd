import { setTimeout as sleep } from 'node:timers/promises';
import { LANE_0, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, LSN_ZERO } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import { Application } from '#lib/local/demo/application.ts';
import { quantile } from '#lib/local/demo/lag-probe.ts';
import { commitTo, Workload, WRITTEN_AT } from '#lib/local/demo/workload.ts';
import { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import type { BenchResult } from './result.ts';

const LEADER = parseRegionId('eu-west-1');
const FOLLOWERS = [parseRegionId('us-east-1'), parseRegionId('ap-southeast-1')];
const RATE = 200;
const WARM_SECONDS = 5;

/** A moment at which a Region had got as far as an LSN, by its own report. */
type Milestone = { readonly lsn: bigint; readonly atMs: number };
const STEPS = ['capture', 'relay', 'apply'] as const;

/**
 * Lag at 200 writes a second through the embedded cloud with 80 ms round trips: from the moment before the client
 * sends a write to the moment at which the follower has saved its position behind it. All Regions are on one
 * machine, so one clock measures both ends.
 */
export async function benchLag(seconds = 20): Promise<readonly BenchResult[]> {
  const milestones = new Map<string, Milestone[]>();
  const group = parseGroup({
    group: 'bench',
    engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'id', type: 'S' }] },
    regions: [LEADER, ...FOLLOWERS].map((name) => ({ name })),
  });
  await using cloud = await EmbeddedCloud.start({
    group,
    leader: LEADER,
    onMessage: ({ region, message }) => note(milestones, region, message),
  });
  const peers = cloud.peers();
  for (const region of FOLLOWERS) {
    await eventually(async () => {
      const { applied, snapshot } = await peers.control(region).applyState(LANE_0);
      return applied !== undefined && snapshot === undefined;
    });
  }
  const workload = new Workload(group.engine.key, Math.random);
  const application = new Application(commitTo(peers.clients(LEADER).dynamodb, group.engine.table));
  const write = (length: number) =>
    application.run(() => workload.next(Date.now()), RATE, length, new AbortController().signal);
  await write(WARM_SECONDS);
  const sinceMs = Date.now();
  await write(seconds);
  const end = (await peers.log(LEADER).head(LANE_0)).lastLsn;
  for (const region of FOLLOWERS) {
    await eventually(
      async () => ((await peers.control(region).applyState(LANE_0)).applied?.lsn ?? 0n) >= end,
    );
  }

  const lags: number[] = [];
  const steps = { capture: [] as number[], relay: [] as number[], apply: [] as number[] };
  const log = peers.log(LEADER);
  for (let from = advance(LSN_ZERO, 1); from <= end; ) {
    const entries = await log.entries(LANE_0, from, 100);
    for (const entry of entries) {
      const last = lastOf(entry);
      from = advance(last, 1);
      const captured = reached(milestones.get(`captured ${LEADER}`), last);
      const written = await writeTimes(await log.getSegment(entry), sinceMs);
      for (const region of FOLLOWERS) {
        const relayed = reached(milestones.get(`relayed ${region}`), last);
        const applied = reached(milestones.get(`applied ${region}`), last);
        if (captured === undefined || relayed === undefined || applied === undefined) continue;
        for (const atMs of written) {
          lags.push(applied - atMs);
          steps.capture.push(captured - atMs);
          steps.relay.push(relayed - captured);
          steps.apply.push(applied - relayed);
        }
      }
    }
    if (entries.length === 0) break;
  }
  if (lags.length < RATE * seconds) throw new Error(`only ${lags.length} records were measured`);
  const figure = (name: string, values: readonly number[], share: number): BenchResult => ({
    name,
    value: Math.round(quantile(values, share) ?? Number.NaN),
    unit: 'ms',
    goal: null,
  });
  return [
    figure('lag-p50-ms', lags, 0.5),
    figure('lag-p99-ms', lags, 0.99),
    ...STEPS.flatMap((step) => [
      figure(`lag-${step}-p50-ms`, steps[step], 0.5),
      figure(`lag-${step}-p99-ms`, steps[step], 0.99),
    ]),
  ];
}

function note(milestones: Map<string, Milestone[]>, region: RegionId, message: unknown): void {
  const { line } = message as { line?: string };
  if (line === undefined) return;
  const { kind, to, lastLsn, atMs } = JSON.parse(line) as {
    kind?: string;
    to?: string;
    lastLsn?: string;
    atMs: number;
  };
  if (lastLsn === undefined || !['captured', 'relayed', 'applied'].includes(kind ?? '')) return;
  // A relay reports at the sender; what counts is where the entries have got to.
  const key = `${kind} ${to ?? region}`;
  milestones.set(key, [...(milestones.get(key) ?? []), { lsn: BigInt(lastLsn), atMs }]);
}

/** When a Region first reported to be at `lsn` or beyond. */
function reached(milestones: readonly Milestone[] = [], lsn: bigint): number | undefined {
  return milestones.find((milestone) => milestone.lsn >= lsn)?.atMs;
}

/** Times of the writes of a segment that bear one and are not from before `sinceMs`. */
async function writeTimes(bytes: Uint8Array, sinceMs: number): Promise<readonly number[]> {
  const segment = openSegment(bytes);
  const decoder = new ItemDecoder(segment.info.schema);
  const times: number[] = [];
  segment.forEach(({ after }) => {
    const at = after && decoder.item(after)[WRITTEN_AT];
    if (at !== undefined && 'N' in at && Number(at.N) >= sinceMs) times.push(Number(at.N));
  });
  return times;
}

async function eventually(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('the followers do not get there');
    await sleep(25);
  }
}
