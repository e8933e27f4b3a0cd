import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { heartbeatTime } from '#lib/engines/dynamodb/heartbeat.ts';
import type { Compared } from '#lib/local/demo/convergence.ts';
import type { DrillEvent, DrillReport } from '#lib/local/drill/drill-report.ts';
import type { DrillOptions } from '#lib/local/drill/run-drill.ts';
import { phasesOf, type TelemetryLine } from '#lib/local/drill/timeline.ts';
import type { Acknowledged, DrillWriter } from '#lib/local/drill/writer.ts';
import type { ElectResult, FenceResult } from '#lib/usecases/control/failover-deps.ts';

/** Divergent changes that a report shows. */
const SAMPLE = 20;
/** Attribute that holds the number of a write of the drill. */
export const WRITE_ID = 'drillId';

/** What a drill that has come to its end has shown. */
export async function conclude(found: {
  readonly options: DrillOptions;
  readonly peers: AwsPeers;
  readonly regions: readonly RegionId[];
  readonly timeline: DrillEvent[];
  readonly lines: readonly TelemetryLine[];
  readonly acked: ReadonlyMap<string, Acknowledged>;
  readonly loaded: Loaded | undefined;
  readonly now: RegionId;
  readonly epoch: Epoch;
  readonly faultMs: number;
  readonly compared: Compared;
  readonly writer: DrillWriter;
}): Promise<DrillReport> {
  const { options, peers, lines, acked, loaded, now, epoch, faultMs, compared, writer } = found;
  const writes = writer.acknowledged.toSorted((a, b) => a.atMs - b.atMs);
  const first = writes.find((write) => write.epoch === epoch && epoch > 1);
  const last = writes.findLast((write) => write.epoch < epoch);
  const held = await heldBy(peers, now);
  const lost = [...acked.keys()].filter((id) => !held.ids.has(id));
  const run = String(lines.findLast(({ kind }) => kind === 'failover-promote')?.run ?? '');
  const elected = await outcomeOf<ElectResult>(peers, found.regions, { run, epoch, step: 'elect' });
  const fenced = await outcomeOf<FenceResult>(peers, found.regions, { run, epoch, step: 'fence' });
  const divergence = await divergenceOf(peers, options.leader);
  const timeline = [...found.timeline];
  if (first !== undefined) {
    timeline.push({
      atMs: first.atMs - faultMs,
      phase: 'first-write',
      at: 'client',
      what: `first write acknowledged by ${first.region}`,
    });
  }
  if (last !== undefined) {
    timeline.push({
      atMs: last.atMs - faultMs,
      phase: 'before',
      at: 'client',
      what: `last write acknowledged by ${last.region}`,
    });
  }
  timeline.sort((a, b) => a.atMs - b.atMs);
  const reported = elected?.outcome === 'elected' ? elected.rpo.records : null;
  const failures = [
    ...compared.differences,
    ...(loaded === undefined ? [] : missing(loaded, held.others)),
    ...(reported !== null && lost.length > reported
      ? [`${lost.length} writes are lost, ${reported} were reported`]
      : []),
  ];
  return {
    kind: 'report',
    scenario: options.scenario,
    profile: options.profile,
    ok: failures.length === 0,
    failures,
    epoch,
    leader: now,
    rtoMs: first === undefined || last === undefined ? null : first.atMs - last.atMs,
    pauseMs: longestPause(writes),
    loaded: loaded?.items ?? null,
    acknowledged: acked.size,
    lost: lost.length,
    reportedRpoRecords: reported,
    divergent: divergence.changes,
    digestsEqual: compared.digestsEqual,
    phases: phasesOf(lines, run, { lastWriteMs: last?.atMs ?? 0, firstWriteMs: first?.atMs ?? 0 }),
    timeline,
    divergentSample: divergence.sample,
    candidates: elected?.candidates ?? [],
    fence: fenced !== undefined && 'rungs' in fenced ? fenced.rungs : null,
  };
}

/** The drill's own writes that a Region's table holds, and how many other items. */
export async function heldBy(
  peers: AwsPeers,
  region: RegionId,
): Promise<{ readonly ids: ReadonlySet<string>; readonly others: number }> {
  const ids = new Set<string>();
  let others = 0;
  for (let cursor: string | undefined; ; ) {
    const page = await peers.store(region).scan(cursor);
    for (const { item } of page.rows) {
      const id = item[WRITE_ID];
      if (id !== undefined && 'S' in id) ids.add(id.S);
      else if (heartbeatTime(item) === undefined) others += 1;
    }
    cursor = page.cursor;
    if (cursor === undefined) return { ids, others };
  }
}

/** What --load put into the table: its items, and how many were not taken. */
export type Loaded = { readonly items: number; readonly failed: number };

function missing({ items, failed }: Loaded, held: number): readonly string[] {
  return [
    ...(failed > 0 ? [`the leader's table did not take ${failed} of the file's items`] : []),
    ...(held < items ? [`${items - held} of the ${items} items that were loaded are gone`] : []),
  ];
}

/** The last outcome of a step of a run by the decision log, in whichever Region coordinated it. */
async function outcomeOf<T>(
  peers: AwsPeers,
  regions: readonly RegionId[],
  { run, epoch, step }: { readonly run: string; readonly epoch: Epoch; readonly step: string },
): Promise<T | undefined> {
  for (const name of regions) {
    const decisions = await peers.history(name).of(epoch);
    const found = decisions.findLast((decision) => decision.step === step && decision.run === run);
    if (found !== undefined) return found.outcome as T;
  }
  return undefined;
}

async function divergenceOf(peers: AwsPeers, region: RegionId) {
  const report = (await peers.divergences(region).of(1 as Epoch))?.report;
  if (report === undefined) return { changes: 0, sample: [] };
  const text = Buffer.from(await peers.divergences(region).get(report.hash)).toString();
  const sample = text
    .split('\n')
    .slice(0, SAMPLE)
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown);
  return { changes: report.changes, sample };
}

function longestPause(writes: readonly Acknowledged[]): number {
  return writes.reduce(
    (longest, { atMs }, index) => Math.max(longest, index === 0 ? 0 : atMs - writes[index - 1]!.atMs),
    0,
  );
}
