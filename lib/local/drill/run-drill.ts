import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { Item } from '#lib/domain/attribute-value.ts';
import { amend } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { type KeySchema, membersOf, type Role } from '#lib/domain/topology.ts';
import { type Compared, compare, until, untilCaughtUp, untilFollowing } from '#lib/local/demo/convergence.ts';
import { Workload, type Write } from '#lib/local/demo/workload.ts';
import type { DrillEvent, DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { play } from '#lib/local/drill/scenarios.ts';
import { phasesOf, type TelemetryLine, tell } from '#lib/local/drill/timeline.ts';
import { type Acknowledged, DrillWriter } from '#lib/local/drill/writer.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';
import type { ElectResult } from '#lib/usecases/control/failover-deps.ts';

export type DrillOptions = {
  readonly scenario: Scenario;
  readonly profile: string;
  readonly leader: RegionId;
  /** Writes a second. */
  readonly rate: number;
  /** How long the group is watched before the fault, and after the first write at the new leader, ms. */
  readonly calmMs: number;
  readonly onEvent: (event: DrillEvent) => void;
  readonly onStatus: (line: string) => void;
  readonly signal: AbortSignal;
};

/** Divergent changes that a report shows. */
const SAMPLE = 20;
/** How often the status line is told, ms. */
const STATUS_MS = 250;

/** What a scenario plays with. */
export type Stage = {
  readonly cloud: EmbeddedCloud;
  readonly peers: AwsPeers;
  readonly writer: DrillWriter;
  readonly leader: RegionId;
  readonly calmMs: number;
  readonly lines: readonly TelemetryLine[];
  readonly signal: AbortSignal;
  /** Begins the fault: times count from here. */
  fault(what: string): void;
  note(event: Omit<DrillEvent, 'atMs'>): void;
  /** Waits for something, or fails with what was waited for. */
  until(what: string, isSo: () => Promise<boolean> | boolean): Promise<void>;
  roleOf(region: RegionId): Promise<Role>;
  /** An operator's word that the last failover was seen: the next one need not wait for the cooldown. */
  acknowledge(): Promise<void>;
};

/**
 * Plays a scenario on an embedded cloud: an application's user writes through DNS, something breaks, the group goes on
 * under another leader, what broke comes back. Then everything that was acknowledged is looked for.
 */
export async function runDrill(
  cloud: EmbeddedCloud,
  lines: TelemetryLine[],
  options: DrillOptions,
): Promise<DrillReport> {
  const { leader, onEvent, scenario, signal } = options;
  const { group } = cloud;
  const peers = cloud.peers();
  const others = group.regions.map(({ name }) => name).filter((name) => name !== leader);
  const timeline: DrillEvent[] = [];
  let faultMs = Date.now();
  let told = 0;
  const flush = () => {
    for (; told < lines.length; told += 1) {
      const event = tell(lines[told]!, faultMs);
      if (event !== undefined) keep(event);
    }
  };
  const keep = (event: DrillEvent) => {
    timeline.push(event);
    onEvent(event);
  };

  const acked = new Map<string, Acknowledged>();
  const dns = cloud.dns;
  const writer = new DrillWriter({
    name: dns.name,
    ttlSeconds: dns.ttlSeconds,
    dnsServer: dns.server,
    urlOf: (target) => cloud.applicationUrl(target),
    itemOf: itemsOf(group.key),
    onAck: (write) => acked.set(write.id, write),
    sleep: (ms) => sleep(ms),
  });
  const status = setInterval(() => {
    flush();
    const last = writer.acknowledged.at(-1);
    options.onStatus(
      `${writer.acknowledged.length} writes acknowledged, ${writer.unknown} in doubt for a while; the last by ${last?.region ?? 'nobody'}`,
    );
  }, STATUS_MS);

  const stage: Stage = {
    cloud,
    peers,
    writer,
    leader,
    calmMs: options.calmMs,
    lines,
    signal,
    fault(what) {
      flush();
      faultMs = Date.now();
      keep({ atMs: 0, phase: 'fault', at: leader, what });
    },
    note(event) {
      flush();
      keep({ ...event, atMs: Date.now() - faultMs });
    },
    until: (what, isSo) => until(signal, what, async () => isSo()),
    roleOf: (region) => peers.control(region).role(),
    acknowledge: async () => {
      const deps = {
        acceptors: { members: membersOf(group), of: (region: RegionId) => peers.acceptor(region) },
        region: leader,
        chance: () => randomUUID(),
        random: Math.random,
        sleep: (ms: number) => sleep(ms),
      };
      await changeRegister(deps, (register) => amend(register, { cooldownUntilMs: 0 }));
    },
  };

  try {
    await untilFollowing(peers, others, signal);
    writer.start(options.rate, (ms) => sleep(ms));
    await stage.until('no write comes through', () => writer.acknowledged.length > 0);
    await sleep(options.calmMs, undefined, { signal });
    keep({
      atMs: -options.calmMs,
      phase: 'before',
      at: 'client',
      what: `${options.rate} writes a second through ${dns.name}`,
    });
    await play(stage, scenario);
    await writer.stop();
    flush();
    const { leader: now, epoch } = await highestRole(
      peers,
      group.regions.map(({ name }) => name),
    );
    const rest = group.regions.map(({ name }) => name).filter((name) => name !== now);
    await untilCaughtUp(peers, rest, signal);
    const compared = await compare(peers, group, now, rest);
    return await conclude({
      options,
      peers,
      regions: [now, ...rest],
      timeline,
      lines,
      acked,
      now,
      epoch,
      faultMs,
      compared,
      writer,
    });
  } finally {
    clearInterval(status);
    await writer.stop();
  }
}

async function conclude(found: {
  readonly options: DrillOptions;
  readonly peers: AwsPeers;
  readonly regions: readonly RegionId[];
  readonly timeline: DrillEvent[];
  readonly lines: readonly TelemetryLine[];
  readonly acked: ReadonlyMap<string, Acknowledged>;
  readonly now: RegionId;
  readonly epoch: Epoch;
  readonly faultMs: number;
  readonly compared: Compared;
  readonly writer: DrillWriter;
}): Promise<DrillReport> {
  const { options, peers, lines, acked, now, epoch, faultMs, compared, writer } = found;
  const writes = writer.acknowledged.toSorted((a, b) => a.atMs - b.atMs);
  const first = writes.find((write) => write.epoch === epoch && epoch > 1);
  const last = writes.findLast((write) => write.epoch < epoch);
  const lost = await lostOf(peers, now, acked);
  const run = String(lines.findLast(({ kind }) => kind === 'failover-promote')?.run ?? '');
  const elected = await electionOf(peers, found.regions, run, epoch);
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
    acknowledged: acked.size,
    lost: lost.length,
    reportedRpoRecords: reported,
    divergent: divergence.changes,
    digestsEqual: compared.digestsEqual,
    phases: phasesOf(lines, run, { lastWriteMs: last?.atMs ?? 0, firstWriteMs: first?.atMs ?? 0 }),
    timeline,
    divergentSample: divergence.sample,
    candidates: elected?.candidates ?? [],
  };
}

/** Acknowledged writes that the leader's table does not hold. */
async function lostOf(
  peers: AwsPeers,
  leader: RegionId,
  acked: ReadonlyMap<string, Acknowledged>,
): Promise<readonly Acknowledged[]> {
  const held = new Set<string>();
  for (let cursor: string | undefined; ; ) {
    const page = await peers.store(leader).scan(cursor);
    for (const { item } of page.rows) {
      const id = item[ID];
      if (id !== undefined && 'S' in id) held.add(id.S);
    }
    cursor = page.cursor;
    if (cursor === undefined) break;
  }
  return [...acked.values()].filter(({ id }) => !held.has(id));
}

/** What the decision log says of the election of an epoch, in whichever Region coordinated it. */
async function electionOf(
  peers: AwsPeers,
  regions: readonly RegionId[],
  run: string,
  epoch: Epoch,
): Promise<ElectResult | undefined> {
  for (const name of regions) {
    const decisions = await peers.history(name).of(epoch);
    const elected = decisions.findLast((decision) => decision.step === 'elect' && decision.run === run);
    if (elected !== undefined) return elected.outcome as ElectResult;
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

async function highestRole(peers: AwsPeers, regions: readonly RegionId[]): Promise<Role> {
  const roles = await Promise.all(regions.map((region) => peers.control(region).role()));
  return roles.toSorted((a, b) => b.epoch - a.epoch)[0]!;
}

function longestPause(writes: readonly Acknowledged[]): number {
  return writes.reduce(
    (longest, { atMs }, index) => Math.max(longest, index === 0 ? 0 : atMs - writes[index - 1]!.atMs),
    0,
  );
}

/** Attribute that holds the number of a write. */
const ID = 'drillId';

/** New items with the table's key, each with a number of its own. */
function itemsOf(key: KeySchema): (n: number) => { readonly id: string; readonly item: Item } {
  const workload = new Workload(key, () => 0.5);
  return (n) => {
    let write: Write = workload.next(Date.now());
    while (write.kind !== 'put') write = workload.next(Date.now());
    const id = `write#${n}`;
    return { id, item: { ...write.item, [ID]: { S: id } } };
  };
}
