import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import { amend } from '#lib/domain/control/register.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { membersOf, type Role } from '#lib/domain/topology.ts';
import { Application } from '#lib/local/demo/application.ts';
import { CATCH_UP_MS, compare, until, untilCaughtUp, untilFollowing } from '#lib/local/demo/convergence.ts';
import type { Write } from '#lib/local/demo/workload.ts';
import { approveRuns } from '#lib/local/drill/approve-runs.ts';
import { conclude, type Loaded } from '#lib/local/drill/conclude.ts';
import { DrillEvents } from '#lib/local/drill/drill-events.ts';
import type { DrillEvent, DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { countText } from '#lib/local/drill/report-facts.ts';
import { play } from '#lib/local/drill/scenarios.ts';
import { type DrillStore, drillStore, type Intruder } from '#lib/local/drill/stores/drill-store.ts';
import { claimOf, type TelemetryLine, tell } from '#lib/local/drill/timeline.ts';
import { type Acknowledged, DrillWriter } from '#lib/local/drill/writer.ts';
import type { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
import { changeRegister } from '#lib/usecases/control/change-register.ts';

export type DrillOptions = {
  readonly scenario: Scenario;
  readonly profile: Profile['name'];
  readonly leader: RegionId;
  /** Writes a second. */
  readonly rate: number;
  /** How long the group is watched before the fault, and after the first write at the new leader, ms. */
  readonly calmMs: number;
  /** What the leader's store holds before the drill's own writes begin. */
  readonly load?: AsyncIterable<Write>;
  readonly onEvent: (event: DrillEvent) => void;
  readonly onStatus: (line: string) => void;
  readonly signal: AbortSignal;
};

/** How often the status line is told, ms. */
const STATUS_MS = 250;

/** What a scenario plays with. */
export type Stage = {
  readonly cloud: EmbeddedCloud;
  readonly peers: AwsPeers;
  readonly writer: DrillWriter;
  readonly store: DrillStore;
  readonly leader: RegionId;
  /** How long a lease lasts, ms: a canary that takes longer is told to be slow. */
  readonly leaseMs: number;
  readonly lines: readonly TelemetryLine[];
  readonly signal: AbortSignal;
  /** Begins what the scenario is about: times count from here. Throws DRILL_FAILED. */
  begin(phase: 'fault' | 'request', what: string): void;
  /** @param atMs Unix ms; now, unless it is known better. */
  note(event: Omit<DrillEvent, 'atMs'>, atMs?: number): void;
  /** Lets somebody write past the leader's lease from now on, where the stores have such a one. */
  intrude(): Promise<void>;
  /** Lets the group go on as it is for a while. */
  calm(): Promise<void>;
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
  const { approval, leaseMs, marginMs, takeoverMs } = PROFILES[options.profile];
  const boundMs = CATCH_UP_MS + leaseMs + marginMs + takeoverMs;
  const { peers, engine } = cloud.open();
  const store = drillStore(cloud, peers);
  let intruder: Intruder | undefined;
  const others = group.regions.map(({ name }) => name).filter((name) => name !== leader);
  let faultMs = Date.now();
  let told = 0;
  const events = new DrillEvents(onEvent);
  /** Tells what has come, by time: the Regions' lines come as they can. */
  const flush = (...notes: readonly DrillEvent[]) => {
    const come = notes.map((event) => ({ event, mayRepeat: false }));
    for (; told < lines.length; told += 1) come.push(...tell(lines[told]!, faultMs));
    come.sort((a, b) => a.event.atMs - b.event.atMs);
    for (const { event, mayRepeat } of come) events.add(event, mayRepeat);
  };

  const acked = new Map<string, Acknowledged>();
  const dns = cloud.dns;
  const writer = new DrillWriter({
    name: dns.name,
    ttlSeconds: dns.ttlSeconds,
    dnsServer: dns.server,
    urlOf: (target) => cloud.applicationUrl(target),
    writeOf: (n) => store.writeOf(n),
    onAck: (write) => acked.set(write.id, write),
    // Who gives up the drill does not wait for a leader.
    sleep: (ms) => sleep(ms, undefined, { signal }),
  });
  const writesText = () => {
    const { acknowledged, unknown } = writer;
    if (acknowledged.length === 0) return 'The client looks for the leader';
    const text = `${countText(acknowledged.length, 'write')} acknowledged, the last by ${acknowledged.at(-1)!.region}`;
    return unknown === 0 ? text : `${text}; ${unknown} tries without an answer`;
  };
  let statusText = () => 'The followers copy what the leader has';
  const status = setInterval(() => {
    flush();
    options.onStatus(statusText());
  }, STATUS_MS);

  const stage: Stage = {
    cloud,
    peers,
    writer,
    store,
    leader,
    leaseMs,
    lines,
    signal,
    begin(phase, what) {
      refuseReplaced(lines);
      flush();
      faultMs = Date.now();
      flush({ atMs: 0, phase, at: leader, what });
    },
    note: (event, atMs = Date.now()) => flush({ ...event, atMs: atMs - faultMs }),
    intrude: async () => {
      intruder = await store.intrude(leader);
    },
    calm: () => sleep(options.calmMs, undefined, { signal }),
    until: (what, isSo) => until(signal, what, async () => isSo(), boundMs),
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

  // Nobody counts these writes, so they are everywhere before anything is lost: no report of a loss needs to know them.
  const loadAll = async (load: AsyncIterable<Write>): Promise<Loaded> => {
    const application = new Application((write: Write) => store.load(leader, write));
    statusText = () => `${application.acknowledged} items of the file are loaded`;
    await application.runAll(load, signal);
    await untilCaughtUp(peers, others, signal);
    return { rows: (await store.heldBy(leader)).others, failed: application.failed };
  };
  /** What a file of SQL has put into the leader's database before the cloud was up. */
  const loadedBefore = async (): Promise<Loaded | undefined> => {
    const { others } = await store.heldBy(leader);
    return Object.keys(others).length === 0 ? undefined : { rows: others, failed: 0 };
  };

  const ended = new AbortController();
  const approving = approval
    ? approveRuns(
        peers,
        group.regions.map(({ name }) => name),
        (at, run) =>
          stage.note({
            phase: 'claim',
            at,
            what: `${run} waits for approval: approved by the drill (a person does it by understudy approve)`,
          }),
        ended.signal,
      )
    : undefined;
  try {
    await untilFollowing(peers, others, signal);
    await store.begin(leader);
    const loaded = options.load ? await loadAll(options.load) : await loadedBefore();
    statusText = writesText;
    writer.start(options.rate, (ms) => sleep(ms));
    await stage.until('no write comes through', () => writer.acknowledged.length > 0);
    flush({
      atMs: -options.calmMs,
      phase: 'before',
      at: 'client',
      what: `${options.rate} writes a second through ${dns.name}`,
    });
    await stage.calm();
    await play(stage, scenario);
    await writer.stop();
    await intruder?.stop();
    flush();
    statusText = () => 'The replicas are compared, and each acknowledged write is looked for';
    const { leader: now, epoch } = await highestRole(
      peers,
      group.regions.map(({ name }) => name),
    );
    const rest = group.regions.map(({ name }) => name).filter((name) => name !== now);
    await untilCaughtUp(peers, rest, signal);
    const compared = await compare(engine, now, rest);
    return await conclude({
      options,
      peers,
      store,
      intruder,
      regions: [now, ...rest],
      timeline: events.all,
      lines,
      acked,
      loaded,
      now,
      epoch,
      faultMs,
      compared,
      writer,
    });
  } finally {
    clearInterval(status);
    ended.abort();
    await writer.stop();
    await approving;
  }
}

/** Throws DRILL_FAILED where the leader was replaced before anything broke: what comes after would show nothing. */
function refuseReplaced(lines: readonly TelemetryLine[]): void {
  if (claimOf(lines) === undefined) return;
  throw new UnderstudyError(
    'DRILL_FAILED',
    'the leader was replaced before anything was broken: this machine is too busy for the profile',
    'Try again when less runs on it, or with --profile balanced.',
  );
}

async function highestRole(peers: AwsPeers, regions: readonly RegionId[]): Promise<Role> {
  const roles = await Promise.all(regions.map((region) => peers.control(region).role()));
  return roles.toSorted((a, b) => b.epoch - a.epoch)[0]!;
}
