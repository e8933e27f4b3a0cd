import type pg from 'pg';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, type Epoch, LSN_ZERO } from '#lib/domain/lsn.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { PolledSlot } from '#lib/engines/postgres/polled-slot.ts';
import { PostgresCapture } from '#lib/engines/postgres/postgres-capture.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { PostgresDigest } from '#lib/engines/postgres/postgres-digest.ts';
import { PostgresReplica } from '#lib/engines/postgres/postgres-replica.ts';
import { PostgresRewinder } from '#lib/engines/postgres/postgres-rewinder.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { slotShard } from '#lib/engines/postgres/slot-session.ts';
import { beat } from '#lib/engines/postgres/write-path.ts';
import { MemoryControl } from '#lib/local/memory/memory-control.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { Control } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import { captureSource } from '#lib/usecases/capture-source.ts';
import { type ReattachDeps, type Reattached, reattach } from '#lib/usecases/control/reattach.ts';
import { relay } from '#lib/usecases/relay.ts';
import { verify } from '#lib/usecases/verify.ts';
import { CrashAt } from './crash-at.ts';
import { E1, GROUP } from './log-history.ts';
import type { TestPostgres } from './postgres.ts';
import { contents } from './postgres-follower.ts';
import { RecordedTelemetry } from './recorded-telemetry.ts';

const PUBLICATION = 'understudy';
let databases = 0;

/** A line of a report. */
export type ReportLine = {
  readonly kind: string;
  readonly table?: string;
  readonly key: Readonly<Record<string, string | null>>;
  readonly before: Readonly<Record<string, string | null>> | null;
  readonly after: Readonly<Record<string, string | null>> | null;
  readonly lsn: string | null;
  readonly transaction: string;
  readonly sql: string;
};

/** A Region with a database, which may lead and may follow. */
export class PostgresRegion {
  readonly log = new MemoryLog(GROUP);
  readonly roles: MemoryControl;
  readonly divergences = new MemoryDivergences();
  readonly telemetry = new RecordedTelemetry();
  readonly checkpoints: PostgresCheckpoints;
  slot: string;
  readonly origin: string;
  readonly name: RegionId;
  readonly client: pg.Client;
  readonly #url: string;
  /** How Understudy connects. */
  connect: Connect;

  private constructor(name: RegionId, url: string, client: pg.Client) {
    const n = ++databases;
    this.name = name;
    this.#url = url;
    this.client = client;
    this.slot = `group_slot_${n}`;
    this.origin = `group_origin_${n}`;
    this.connect = connector({ connectionString: url });
    this.roles = new MemoryControl(name);
    this.checkpoints = new PostgresCheckpoints((options) => this.connect(options));
  }

  static async start(postgres: TestPostgres, name: RegionId, schema: string): Promise<PostgresRegion> {
    const url = await postgres.createDatabase();
    const client = await postgres.connect(url);
    const region = new PostgresRegion(name, url, client);
    await client.query(schema);
    await prepareLeader(client, PUBLICATION, region.slot);
    await prepareFollower(client, region.origin);
    return region;
  }

  /** Understudy connects as this role from now on. */
  connectAs(user: string, password: string): void {
    const url = Object.assign(new URL(this.#url), { username: user, password });
    this.connect = connector({ connectionString: url.href });
  }

  /** As a user of the application. */
  async sql(text: string): Promise<void> {
    await this.client.query(text);
  }

  get shard(): string {
    return slotShard(this.name, this);
  }

  get control(): Control {
    const { roles, checkpoints } = this;
    return {
      role: () => roles.role(),
      nameLeader: (next) => roles.nameLeader(next),
      attach: (epoch) => roles.attach(epoch),
      applyState: (lane) => checkpoints.applyState(lane),
      takeLease: (lane) => checkpoints.takeLease(lane),
      saveApplyState: (lease, state) => checkpoints.saveApplyState(lease, state),
      noteRewound: () => Promise.reject(new Error('nothing is noted apart from the rows')),
    };
  }

  /** What the function does on a tick with what waits in the slot. */
  async capture(): Promise<void> {
    const { captureDeps, slotDeps } = await this.captureParts();
    await captureSource(captureDeps, LANE_0, new PolledSlot(slotDeps), new AbortController().signal);
  }

  async captureParts() {
    const { epoch } = await this.roles.role();
    const { slot, log, telemetry, divergences, connect, name, roles: control, shard } = this;
    const rejects = { put: () => Promise.reject(new Error('nothing is rejected')) };
    const engine = new PostgresCapture(GROUP);
    return {
      shard,
      slotDeps: { slot, publication: PUBLICATION, region: name, epoch, connect, telemetry },
      captureDeps: { region: name, engine, log, control, divergences, rejects, telemetry },
    };
  }

  /** The report of what diverged in an epoch, line by line. */
  async report(epoch: Epoch): Promise<readonly ReportLine[]> {
    const saved = (await this.divergences.of(epoch))?.report;
    if (saved === undefined) return [];
    const text = Buffer.from(await this.divergences.get(saved.hash)).toString();
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ReportLine);
  }

  contents(): ReturnType<typeof contents> {
    return contents(this.client);
  }
}

/** A group of databases, step by step. */
export class PostgresGroup {
  readonly regions: ReadonlyMap<RegionId, PostgresRegion>;
  /** Size of a table that is not replaced as a whole, if not the usual one. */
  wholeBytes: number | undefined;

  private constructor(regions: ReadonlyMap<RegionId, PostgresRegion>) {
    this.regions = regions;
  }

  /** All follow the first, from where its log begins. */
  static async start(
    postgres: TestPostgres,
    schema: string,
    names: readonly RegionId[],
  ): Promise<PostgresGroup> {
    const regions = await Promise.all(names.map((name) => PostgresRegion.start(postgres, name, schema)));
    for (const region of regions) {
      await region.roles.nameLeader({ leader: names[0]!, epoch: E1 });
      if (region === regions[0]) continue;
      const { lease } = await region.checkpoints.takeLease(LANE_0);
      const applied = { lsn: LSN_ZERO, epoch: EPOCH_ZERO, totalBytes: 0n, commitMs: 0 };
      await region.checkpoints.saveApplyState(lease, { applied });
    }
    return new PostgresGroup(new Map(regions.map((region) => [region.name, region])));
  }

  at(name: RegionId): PostgresRegion {
    return this.regions.get(name)!;
  }

  /** Brings followers up to what the leader has logged. */
  async follow(leader: RegionId, ...followers: readonly RegionId[]): Promise<void> {
    for (const name of followers) {
      await this.push(leader, name);
      await this.apply(leader, name);
    }
  }

  /** Brings the leader's log to a Region, as far as that one's goes with it. */
  async push(leader: RegionId, to: RegionId): Promise<void> {
    const { epoch } = await this.at(leader).roles.role();
    await relay(this.at(leader).log, this.at(to).log, LANE_0, epoch);
  }

  /** Applies what a follower's log holds. */
  async apply(leader: RegionId, name: RegionId): Promise<void> {
    const region = this.at(name);
    const replica = new PostgresReplica({
      connect: region.connect,
      leader: this.at(leader).connect,
      publication: PUBLICATION,
      origin: region.origin,
    });
    const peers = {
      log: (at: RegionId) => this.at(at).log,
      control: (at: RegionId) => this.at(at).control,
    };
    const { control, telemetry } = region;
    try {
      await applyLog({ region: name, peers, control, storeOf: () => replica, telemetry }, () => true);
    } finally {
      await replica.close();
    }
  }

  /** A Region leads from now on, whatever the one before has that it has not. */
  async promote(leader: RegionId, epoch: Epoch): Promise<void> {
    await this.at(leader).log.seal(LANE_0, epoch);
    for (const region of this.regions.values()) await region.roles.nameLeader({ leader, epoch });
  }

  reattachDeps(name: RegionId, crash = new CrashAt(Number.MAX_SAFE_INTEGER)) {
    const region = this.at(name);
    return async (): Promise<ReattachDeps> => {
      const { leader } = await region.roles.role();
      return {
        region: name,
        log: (at) => crash.watched(at === name ? region.log : this.#captured(at)),
        control: crash.watched(region.control),
        divergences: crash.watched(region.divergences),
        rewinder: this.rewinder(name, leader, crash),
        writePath: { canary: () => beat(region.connect, Date.now()) },
        clock: { now: () => Date.now() },
        telemetry: region.telemetry,
      };
    };
  }

  rewinder(name: RegionId, leader: RegionId, crash?: CrashAt): PostgresRewinder {
    const region = this.at(name);
    const connect: Connect = async (options) => {
      const client = await region.connect(options);
      return crash === undefined ? client : dying(client, crash);
    };
    return new PostgresRewinder({
      connect,
      leader: this.at(leader).connect,
      publication: PUBLICATION,
      slot: region.slot,
      origin: region.origin,
      shard: region.shard,
      leaderShard: this.at(leader).shard,
      telemetry: region.telemetry,
      ...(this.wholeBytes !== undefined && { wholeBytes: this.wholeBytes }),
    });
  }

  /** Calls as the sentinel does, beside the capture, until it is done. */
  async reattach(name: RegionId, crash?: CrashAt): Promise<Reattached> {
    const deps = this.reattachDeps(name, crash);
    // Collected counts what was written until 2 s after it began.
    const since = Date.now() - 5_000;
    for (let tries = 0; tries < 10; tries++) {
      const result = await reattach(await deps(), since);
      if (result.kind !== 'collecting') return result;
      await this.at(name).capture();
    }
    throw new Error('it never ends');
  }

  /** Names of the rows that are not the same in two Regions. */
  async differences(left: RegionId, right: RegionId): Promise<readonly string[]> {
    const digest = (name: RegionId) => new PostgresDigest(this.at(name).connect);
    const none = { rechecks: 0, pause: async () => {} };
    return (await verify(digest(left), digest(right), none)).differences.map(({ key }) => key);
  }

  /** A leader's log, into which its capture brings all that was committed before anybody looks. */
  #captured(name: RegionId): ReplicaLog {
    const region = this.at(name);
    return new Proxy<ReplicaLog>(region.log, {
      get: (log, member: keyof ReplicaLog) => {
        const call = log[member].bind(log) as (...given: unknown[]) => unknown;
        if (member !== 'head') return call;
        return async (...given: unknown[]) => {
          const { leader } = await region.roles.role();
          if (leader === name) await region.capture();
          return call(...given);
        };
      },
    });
  }
}

/** A connection that breaks off at the n-th of the process's awaits, before or after the statement has had its effect. */
function dying(client: pg.Client, crash: CrashAt): pg.Client {
  const send = client.query.bind(client) as (...given: unknown[]) => unknown;
  const statements = crash.watched({ query: send, submit: async () => {} });
  const query = (...given: unknown[]): unknown => {
    const [first] = given;
    if (!(first instanceof Object && 'submit' in first)) return statements.query(...given);
    // It tells its own end, not this call.
    void statements.submit().then(
      () => send(...given),
      (error) => (first as unknown as { handleError(error: unknown): void }).handleError(error),
    );
    return first;
  };
  return new Proxy(client, {
    get: (target, member) => {
      if (member === 'query') return query;
      const value: unknown = Reflect.get(target, member, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
