import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AwsPeers, type GroupResources } from '#lib/aws/aws-peers.ts';
import type { Endpoints, RegionEndpoints } from '#lib/aws/config.ts';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { Route53Record } from '#lib/aws/route53-record.ts';
import { ZoneVantages } from '#lib/aws/zone-vantages.ts';
import { doubtOf } from '#lib/domain/control/dns-sight.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import { HEALTH_CHECK } from '#lib/domain/control/flip-set.ts';
import { PROFILES, type Profile } from '#lib/domain/control/profile.ts';
import { founded } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type GroupConfig, membersOf } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { startApplication } from '#lib/local/application/application.ts';
import { type Child, spawnNode } from '#lib/local/child.ts';
import { CLOUD_FOLDER, writeCloudFile } from '#lib/local/cloud-file.ts';
import { alarmMinuteOf } from '#lib/local/cloudwatch/alarm-minute.ts';
import { startCloudWatchServer } from '#lib/local/cloudwatch/cloudwatch-server.ts';
import { deployedAlarms } from '#lib/local/cloudwatch/deployed-alarms.ts';
import { type DnsServer, startDnsServer } from '#lib/local/dns/dns-server.ts';
import { makeLeaderSet } from '#lib/local/dns/leader-sets.ts';
import { dynamoBinary, startDynamoServer } from '#lib/local/dynamo-server.ts';
import { KeptProcess } from '#lib/local/kept-process.ts';
import type { LinkSettings } from '#lib/local/link.ts';
import { Network } from '#lib/local/network.ts';
import { startGate } from '#lib/local/policy/gate-server.ts';
import { freePort } from '#lib/local/ports.ts';
import { namesOf, provisionRegion, provisionWitness } from '#lib/local/provision.ts';
import { startS3Server } from '#lib/local/s3-server.ts';
import type { Server, Supervised } from '#lib/local/supervised.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { foundGroup } from '#lib/usecases/control/change-register.ts';

/**
 * The processes of a Region that data goes through; each Region has a CloudWatch, and for failover an application and a
 * policy gate before its DynamoDB server.
 */
export const PARTS = ['dynamodb', 's3', 'worker'] as const;
export type Part = (typeof PARTS)[number] | 'cloudwatch' | 'application' | 'gate';

/** What a worker or a server of the cloud reports. */
export type CloudMessage = { readonly region: RegionId; readonly message: unknown };

export type CloudOptions = {
  readonly group: GroupConfig;
  /** Leader of epoch 1. */
  readonly leader: RegionId;
  /** How the links between Regions differ from the default (40 ms each way). */
  readonly link?: Partial<LinkSettings>;
  /** Without it, nobody watches the leader: there are no beats, no DNS and no applications. */
  readonly failover?: {
    readonly profile: Profile['name'];
    /** How long a resolver may keep an answer, and how long DNS takes to take a change over. */
    readonly ttlSeconds: number;
    readonly propagationMs: number;
    /** With `data-plane`, health checks move the record; how often they ask, ms: without it, as Route 53's do. */
    readonly flip?: NonNullable<RecordConfig['flip']>;
    readonly healthIntervalMs?: number;
    /** A module with a function `fence`, by its URL: the hook that fences the hosts of a Region. */
    readonly hostFence?: URL;
    readonly onLeaseLost?: 'fence' | 'continue';
  };
  /** How long a minute of the alarms takes, ms; without it, as `alarmMinuteOf` says. */
  readonly alarmMinuteMs?: number;
  readonly onMessage?: (message: CloudMessage) => void;
  /** Hears what the start is at, for people. */
  readonly onStep?: (step: string) => void;
  /** Gives up the start: nothing is left behind, and it fails with the signal's reason. */
  readonly signal?: AbortSignal;
};

/** Zone and name of the group's record. */
const ZONE = 'understudy.internal';
/** From where the applications' users come, and Route 53's health checks, in the network. */
const USERS = 'users';
const CHECKERS = 'health checkers';
/** How long DNS may take to name the first leader, ms. */
const FIRST_NAME_MS = 60_000;

const CREDENTIALS = { accessKeyId: '000000000000', secretAccessKey: 'embedded' };
/** An application is somebody else than Understudy: a fence tells them apart. */
const APPLICATION = { accessKeyId: 'APPLICATION', secretAccessKey: 'embedded' };
const ROLE = 'arn:aws:iam::000000000000:role/understudy';
/**
 * Regions on one machine: each a DynamoDB server, an S3 server and a worker that runs the functions (a witness has no
 * S3, and its worker runs the sentinel alone), as
 * processes of their own, with a network between the Regions. A process that dies is started again, on the
 * same port and data, until the cloud or its Region is stopped. All data is in one temporary folder.
 */
export class EmbeddedCloud implements AsyncDisposable {
  readonly group: GroupConfig;
  readonly network: Network;
  readonly #folder: string;
  readonly #options: CloudOptions;
  readonly #stopped: AbortController;
  readonly #processes = new Map<string, KeptProcess>();
  readonly #opened: AwsPeers[] = [];
  #direct: Record<string, RegionEndpoints> = {};
  #queueUrls: Record<string, string> = {};
  #dns: DnsServer | undefined;
  /** Where the function `leads` of each Region answers, if health checks move the record. */
  readonly #leadsPorts = new Map<RegionId, number>();
  /** Ports at which users reach the application of each Region, over the network. */
  readonly #applicationPorts = new Map<RegionId, number>();

  private constructor(options: CloudOptions, folder: string, network: Network, stopped: AbortController) {
    this.group = options.group;
    this.network = network;
    this.#options = options;
    this.#folder = folder;
    this.#stopped = stopped;
  }

  /** Brings all Regions up, or throws SERVER_NOT_STARTED or PLATFORM_UNSUPPORTED and leaves nothing behind. */
  static async start(options: CloudOptions): Promise<EmbeddedCloud> {
    // Where there is no server to start, nothing is started.
    dynamoBinary();
    const { signal } = options;
    const folder = await mkdtemp(join(tmpdir(), CLOUD_FOLDER));
    let cloud: EmbeddedCloud | undefined;
    const stopped = new AbortController();
    // Whatever the start waits for then fails, because it is gone.
    const giveUp = () => {
      stopped.abort();
      if (cloud !== undefined) void cloud.#halt();
    };
    signal?.addEventListener('abort', giveUp);
    try {
      // It may have been given up before anybody listened.
      signal?.throwIfAborted();
      cloud = new EmbeddedCloud(options, folder, await Network.start(stopped.signal), stopped);
      await cloud.#boot();
      signal?.throwIfAborted();
      return cloud;
    } catch (error) {
      await cloud?.stop();
      await rm(folder, { recursive: true, force: true });
      throw signal?.aborted ? signal.reason : error;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** The group's names and where its Regions are reached from outside: past the network. */
  get resources(): GroupResources {
    return { ...this.group, ...this.#names(), endpoints: this.#direct };
  }

  /** The file that tells the command line how to reach this cloud. */
  get file(): string {
    return join(this.#folder, 'cloud.json');
  }

  /** Adapters for the group's Regions as somebody outside all of them has. Closed with the cloud. */
  peers(): AwsPeers {
    const peers = new AwsPeers(this.resources, STAMP_ATTRIBUTE);
    this.#opened.push(peers);
    return peers;
  }

  /** Is this process up, rather than on its way back? */
  isUp(region: RegionId, part: Part): boolean {
    return this.#process(region, part).isUp;
  }

  /** Sends a signal to one process of a Region; after SIGKILL it is started again. */
  kill(region: RegionId, part: Part, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#process(region, part).kill(signal);
  }

  /** Kills a Region; connections to it hang, as those to a lost Region do, until `restoreRegion`. */
  async loseRegion(region: RegionId): Promise<void> {
    await this.network.set('*', region, { state: 'hang' });
    await this.network.set(region, '*', { state: 'hang' });
    await Promise.all(this.#partsOf(region).map((part) => part.halt()));
  }

  /** Ends one process of a Region for good, or until `start`. */
  async halt(region: RegionId, part: Part): Promise<void> {
    await this.#process(region, part).halt();
  }

  async start(region: RegionId, part: Part): Promise<void> {
    await this.#process(region, part).run();
  }

  /** Stops all processes of a Region where they are, as a hypervisor may; connections to it hang meanwhile. */
  pauseRegion(region: RegionId): void {
    for (const part of this.#partsOf(region)) part.kill('SIGSTOP');
  }

  resumeRegion(region: RegionId): void {
    for (const part of this.#partsOf(region)) part.kill('SIGCONT');
  }

  /** Cuts a Region off from the other Regions, but not from its own users, or ends that. */
  async partition(region: RegionId, state: 'hang' | 'up'): Promise<void> {
    for (const name of membersOf(this.group)) {
      if (name === region) continue;
      await this.network.set(name, region, { state });
      await this.network.set(region, name, { state });
    }
  }

  /** The group's name in DNS, and where it is asked for. Throws if the cloud has no failover. */
  get dns(): { readonly name: string; readonly server: string; readonly ttlSeconds: number } {
    const { dnsPort } = this.#dnsServer;
    return { name: this.#recordName, server: `127.0.0.1:${dnsPort}`, ttlSeconds: this.#failover.ttlSeconds };
  }

  /** Where users reach what DNS calls `target`. */
  applicationUrl(target: string): string {
    const region = this.group.regions.find(({ name }) => this.#targetOf(name) === target)?.name;
    const port = region && this.#applicationPorts.get(region);
    if (port === undefined) throw new Error(`no application is called ${target}`);
    return `http://127.0.0.1:${port}`;
  }

  /** The DNS record as Route 53's control plane has it. */
  record(): Route53Record {
    const { endpoint, zoneId } = this.#dnsServer;
    return new Route53Record({
      route53: createRoute53Client({ endpoint, credentials: CREDENTIALS }),
      zoneId,
      name: this.#recordName,
      ttlSeconds: this.#failover.ttlSeconds,
      inventory: this.group.regions.map(({ name }) => this.#targetOf(name)),
    });
  }

  /** Brings a lost Region back on the data that it had. */
  async restoreRegion(region: RegionId): Promise<void> {
    await this.network.set('*', region, { state: 'up' });
    await this.network.set(region, '*', { state: 'up' });
    for (const part of this.#partsOf(region)) await part.run();
  }

  async stop(): Promise<void> {
    await this.#halt();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #halt(): Promise<void> {
    this.#stopped.abort();
    for (const peers of this.#opened) peers.destroy();
    await Promise.all([...this.#processes.values()].map((process) => process.halt()));
    await this.#dns?.stop();
    await this.network.close();
  }

  async #boot(): Promise<void> {
    const replicas = this.group.regions.map(({ name }) => name);
    const { witnesses } = this.group;
    const { failover, onStep = () => {} } = this.#options;
    onStep('the servers of each Region');
    await all([
      ...replicas.map((region) => this.#bootReplica(region)),
      ...witnesses.map((region) => this.#bootWitness(region)),
    ]);
    const peers = this.peers();
    onStep('tables, buckets and queues');
    await all([
      ...witnesses.map((region) =>
        provisionWitness(peers.clients(region).dynamodb, namesOf(this.group, region)),
      ),
      ...replicas.map(async (region) => {
        this.#queueUrls[region] = await provisionRegion(
          peers.clients(region),
          this.group,
          namesOf(this.group, region),
        );
        await peers.control(region).nameLeader({ epoch: parseEpoch(1), leader: this.#options.leader });
      }),
    ]);
    if (failover !== undefined) await this.#found(peers);
    onStep('the network and the functions');
    const endpoints = await this.#openLinks();
    await all(
      membersOf(this.group).map((region) =>
        this.#run(region, 'worker', (signal) => this.#startWorker(region, endpoints.get(region)!, signal)),
      ),
    );
    if (this.#flips) await this.#openLeaderSets(replicas);
    if (failover !== undefined) await this.#openApplications(replicas, endpoints);
    await writeCloudFile(this.#folder, {
      pid: process.pid,
      config: this.#configOf(this.#options.leader),
      endpoints: this.#direct,
    });
  }

  /** The group's register and record as they are before the first failover. */
  async #found(peers: AwsPeers): Promise<void> {
    const { leader } = this.#options;
    const { healthIntervalMs = HEALTH_CHECK.requestInterval * 1_000, propagationMs } = this.#failover;
    this.#dns = await startDnsServer({
      zone: ZONE,
      propagationMs,
      healthIntervalMs,
      signal: this.#stopped.signal,
    });
    const members = membersOf(this.group);
    for (const region of members) {
      const { dnsPort, endpoint } = this.#dns;
      this.#direct[region] = { ...this.#direct[region]!, route53: endpoint, dns: `127.0.0.1:${dnsPort}` };
    }
    await foundGroup(
      {
        acceptors: { members, of: (region) => peers.acceptor(region) },
        region: leader,
        chance: () => randomUUID(),
        random: Math.random,
        sleep: (ms) => sleep(ms),
      },
      founded(leader, parseEpoch(1), 'founding'),
    );
    if (this.#flips) for (const { name } of this.group.regions) this.#leadsPorts.set(name, await freePort());
    else await this.record().flip(undefined, { epoch: parseEpoch(1), target: this.#targetOf(leader) });
  }

  /** Each Region's set of the record, and the check that asks the Region over the network; ends once DNS names the leader. */
  async #openLeaderSets(regions: readonly RegionId[]): Promise<void> {
    const links = regions.map((to) => ({
      from: CHECKERS,
      to,
      service: 'leads',
      targetPort: this.#leadsPorts.get(to)!,
    }));
    const ports = await this.network.open(links, this.#options.link);
    const route53 = createRoute53Client({ endpoint: this.#dnsServer.endpoint, credentials: CREDENTIALS });
    for (const [index, region] of regions.entries()) {
      const target = this.#targetOf(region);
      await makeLeaderSet(route53, this.#recordConfig, { region, target, port: ports[index]! });
    }
    route53.destroy();
    const target = this.#targetOf(this.#options.leader);
    const vantages = new ZoneVantages({ name: this.#recordName, servers: [this.dns.server] });
    const giveUpMs = performance.now() + FIRST_NAME_MS;
    for (;;) {
      const doubt = doubtOf(await vantages.ask(target), target, false);
      if (doubt === undefined) return;
      this.#stopped.signal.throwIfAborted();
      if (performance.now() > giveUpMs) throw new Error(`DNS does not name the leader: ${doubt}`);
      await sleep(50);
    }
  }

  async #openApplications(
    regions: readonly RegionId[],
    endpoints: ReadonlyMap<RegionId, Endpoints>,
  ): Promise<void> {
    const ports = await Promise.all(regions.map(() => freePort()));
    await all(
      regions.map((region, index) =>
        this.#run(region, 'application', (signal) =>
          startApplication({
            name: `application of ${region}`,
            env: this.#environmentOf(region, asApplication(endpoints.get(region)!, region)),
            port: ports[index]!,
            signal,
          }),
        ),
      ),
    );
    const links = regions.map((to, index) => ({
      from: USERS,
      to,
      service: 'application',
      targetPort: ports[index]!,
    }));
    const reached = await this.network.open(links, this.#options.link);
    for (const [index, region] of regions.entries()) this.#applicationPorts.set(region, reached[index]!);
  }

  async #bootReplica(region: RegionId): Promise<void> {
    const [dynamodb, s3, cloudwatch] = await all([
      this.#bootDynamo(region),
      this.#bootS3(region),
      this.#bootCloudWatch(region),
    ]);
    const gate =
      this.#options.failover === undefined ? undefined : await this.#bootGate(region, dynamodb!.port);
    this.#direct[region] = {
      dynamodb: (gate ?? dynamodb!).endpoint,
      ...(gate && { application: APPLICATION }),
      s3: s3!.endpoint,
      sqs: s3!.endpoint,
      cloudwatch: cloudwatch!.endpoint,
      credentials: CREDENTIALS,
    };
  }

  async #bootWitness(region: RegionId): Promise<void> {
    const [dynamodb, cloudwatch] = await all([this.#bootDynamo(region), this.#bootCloudWatch(region)]);
    this.#direct[region] = {
      dynamodb: dynamodb!.endpoint,
      cloudwatch: cloudwatch!.endpoint,
      credentials: CREDENTIALS,
    };
  }

  async #bootCloudWatch(region: RegionId): Promise<Server> {
    const folder = join(this.#folder, region);
    await mkdir(folder, { recursive: true });
    const alarms = join(folder, 'alarms.json');
    const { maxLagMs } = this.#profile;
    await writeFile(alarms, JSON.stringify(deployedAlarms(this.group, region, maxLagMs)));
    const minuteMs = this.#alarmMinuteMs;
    const name = `CloudWatch of ${region}`;
    return this.#run(
      region,
      'cloudwatch',
      onOnePort((rest) => startCloudWatchServer({ alarms, minuteMs, name, ...rest })),
    );
  }

  async #bootDynamo(region: RegionId): Promise<Server> {
    const folder = join(this.#folder, region);
    await mkdir(folder, { recursive: true });
    const file = join(folder, 'dynamodb.sqlite');
    const name = `DynamoDB server of ${region}`;
    return this.#run(
      region,
      'dynamodb',
      onOnePort((rest) => startDynamoServer({ file, name, ...rest })),
    );
  }

  /** What the DynamoDB server lacks: resource policies, by which an old leader's table is fenced. */
  #bootGate(region: RegionId, target: number): Promise<Server> {
    const file = join(this.#folder, region, 'policies.json');
    const name = `policy gate of ${region}`;
    const principals = { [CREDENTIALS.accessKeyId]: ROLE };
    return this.#run(
      region,
      'gate',
      onOnePort((rest) => startGate({ target, file, principals, name, ...rest })),
    );
  }

  #bootS3(region: RegionId): Promise<Server> {
    const directory = join(this.#folder, region, 's3');
    const name = `S3 server of ${region}`;
    return this.#run(
      region,
      's3',
      onOnePort((rest) => startS3Server({ directory, name, ...rest })),
    );
  }

  /** For each Region, the endpoints of all as it sees them: its own at hand, the others over the network. */
  async #openLinks(): Promise<ReadonlyMap<RegionId, Endpoints>> {
    const regions = membersOf(this.group);
    const links = regions.flatMap((from) =>
      regions
        .filter((to) => to !== from)
        .flatMap((to) =>
          (['dynamodb', 's3', 'cloudwatch'] as const).flatMap((service) => {
            const url = this.#direct[to]![service];
            return url === undefined ? [] : [{ from, to, service, targetPort: Number(new URL(url).port) }];
          }),
        ),
    );
    const ports = await this.network.open(links, this.#options.link);
    const seen = new Map<RegionId, Record<string, RegionEndpoints>>();
    for (const region of regions) seen.set(region, { [region]: this.#direct[region]! });
    links.forEach(({ from, to, service }, index) => {
      const known = seen.get(from)!;
      known[to] = { ...this.#direct[to]!, ...known[to], [service]: `http://127.0.0.1:${ports[index]}` };
    });
    return seen;
  }

  async #startWorker(region: RegionId, endpoints: Endpoints, signal: AbortSignal): Promise<Child> {
    const witness = this.group.witnesses.includes(region);
    const entry = witness
      ? new URL('./witness-worker.ts', import.meta.url)
      : new URL('./worker.ts', import.meta.url);
    const worker = spawnNode(entry, {
      name: `worker of ${region}`,
      args: witness ? [] : await this.#foldersOf(region),
      env: this.#environmentOf(region, endpoints),
      signal,
    });
    worker.onMessage((message) => this.#options.onMessage?.({ region, message }));
    await worker.ready;
    return worker;
  }

  /** Folder of checkpoints; folder of the runs of a Region's failover workflow, and the file of its definition. */
  async #foldersOf(region: RegionId): Promise<readonly string[]> {
    const checkpoints = join(this.#folder, region, 'checkpoints');
    await mkdir(checkpoints, { recursive: true });
    if (this.#options.failover === undefined) return [checkpoints];
    const runs = join(this.#folder, region, 'runs');
    await mkdir(runs, { recursive: true });
    const file = join(this.#folder, region, 'workflow.json');
    await writeFile(file, JSON.stringify(failoverDefinition(this.group.group, region)));
    return [checkpoints, runs, file];
  }

  #environmentOf(region: RegionId, endpoints: Endpoints): Readonly<Record<string, string>> {
    return {
      UNDERSTUDY_CONFIG: JSON.stringify(this.#configOf(region)),
      UNDERSTUDY_ENDPOINTS: JSON.stringify(endpoints),
      UNDERSTUDY_LEADS_PORT: String(this.#leadsPorts.get(region) ?? ''),
      UNDERSTUDY_HOST_FENCE: this.#options.failover?.hostFence?.href ?? '',
    };
  }

  get #failover(): NonNullable<CloudOptions['failover']> {
    if (this.#options.failover === undefined) throw new Error('the cloud has no failover');
    return this.#options.failover;
  }

  /** Health checks move the record. */
  get #flips(): boolean {
    return this.#options.failover?.flip === 'data-plane';
  }

  get #recordConfig(): RecordConfig {
    const { flip, ttlSeconds } = this.#failover;
    return { zoneId: this.#dnsServer.zoneId, name: this.#recordName, ttlSeconds, ...(flip && { flip }) };
  }

  get #profile(): Profile {
    return PROFILES[this.#options.failover?.profile ?? 'balanced'];
  }

  get #alarmMinuteMs(): number {
    const { alarmMinuteMs, failover } = this.#options;
    return alarmMinuteMs ?? alarmMinuteOf(failover && this.#profile);
  }

  get #dnsServer(): DnsServer {
    if (this.#dns === undefined) throw new Error('the cloud has no DNS');
    return this.#dns;
  }

  get #recordName(): string {
    return `${this.group.group}.${ZONE}`;
  }

  #targetOf(region: RegionId): string {
    return `${region}.${this.#recordName}`;
  }

  #partsOf(region: RegionId): readonly KeptProcess[] {
    return [...this.#processes].flatMap(([name, part]) => (name.startsWith(`${region} `) ? [part] : []));
  }

  /** The configuration of the functions of a Region. */
  #configOf(region: RegionId) {
    const { buckets, logTable, controlTable } = this.#names();
    return {
      ...this.group,
      region,
      regions: this.group.regions.map((each) => ({ ...each, bucket: buckets[each.name] })),
      logTable,
      controlTable,
      failureQueueUrl: this.#queueUrls[region],
      // Two in each minute of the alarms, as on AWS.
      reportMs: Math.ceil(this.#alarmMinuteMs / 2),
      ...(this.#options.failover && {
        failover: {
          profile: this.#failover.profile,
          fence: { exempt: [ROLE] },
          ...(this.#failover.onLeaseLost && { onLeaseLost: this.#failover.onLeaseLost }),
          record: this.#recordConfig,
          // A leader that goes on without a lease keeps to no bound.
          countedWrites: this.#failover.onLeaseLost !== 'continue',
          targets: Object.fromEntries(this.group.regions.map(({ name }) => [name, this.#targetOf(name)])),
        },
      }),
    };
  }

  /** Starts a process of a Region and keeps it running. */
  async #run<T extends Supervised>(
    region: RegionId,
    part: Part,
    start: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#stopped.signal.aborted) throw new Error('the cloud is being stopped');
    const process = new KeptProcess(start, (error) => {
      this.#options.onMessage?.({ region, message: { kind: 'restart-failed', why: String(error) } });
    });
    this.#processes.set(`${region} ${part}`, process);
    return process.run();
  }

  #process(region: RegionId, part: Part): KeptProcess {
    const process = this.#processes.get(`${region} ${part}`);
    if (process === undefined) throw new Error(`the cloud has no ${part} of ${region}`);
    return process;
  }

  #names() {
    const { logTable, controlTable } = namesOf(this.group, '');
    const buckets = Object.fromEntries(
      this.group.regions.map(({ name }) => [name, namesOf(this.group, name).bucket]),
    ) as GroupResources['buckets'];
    return { logTable, controlTable, buckets };
  }
}

/** The endpoints of a Region's own servers, as its application is known to them. */
function asApplication(endpoints: Endpoints, region: RegionId): Endpoints {
  return { ...endpoints, [region]: { ...endpoints[region]!, credentials: APPLICATION } };
}

/** A server that comes back takes the port that it had. */
function onOnePort(
  start: (rest: { readonly port?: number; readonly signal: AbortSignal }) => Promise<Server>,
): (signal: AbortSignal) => Promise<Server> {
  let port: { port?: number } = {};
  return async (signal) => {
    const server = await start({ ...port, signal });
    port = { port: server.port };
    return server;
  };
}

/** Waits for all and then fails with the first failure, so that nothing is still coming up behind the caller's back. */
async function all<T>(work: readonly Promise<T>[]): Promise<T[]> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return results.map((result) => (result as PromiseFulfilledResult<T>).value);
}
