import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type OpenGroup, openGroup } from '#functions/engines/open-group.ts';
import type { AwsPeers, GroupResources } from '#lib/aws/aws-peers.ts';
import type { Endpoints, RegionEndpoints } from '#lib/aws/config.ts';
import type { Route53Record } from '#lib/aws/route53-record.ts';
import { founded } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type GroupConfig, membersOf } from '#lib/domain/topology.ts';
import { startApplication } from '#lib/local/application/application.ts';
import { asApplicationRole } from '#lib/local/application-role.ts';
import { type Child, spawnNode } from '#lib/local/child.ts';
import { CloudDns } from '#lib/local/cloud-dns.ts';
import { CLOUD_FOLDER, writeCloudFile } from '#lib/local/cloud-file.ts';
import { APPLICATION, type CloudOptions, CloudSettings } from '#lib/local/cloud-settings.ts';
import { dynamoBinary } from '#lib/local/dynamo-server.ts';
import { Network } from '#lib/local/network.ts';
import { freePort } from '#lib/local/ports.ts';
import { namesOf, provisionRegion, provisionRegister, provisionWitness } from '#lib/local/provision.ts';
import { type Part, RegionProcesses } from '#lib/local/region-processes.ts';
import { all, BETWEEN, bootRegister, bootReplica, bootWitness } from '#lib/local/region-servers.ts';
import { type LocalStores, localStores } from '#lib/local/stores/local-stores.ts';
import { failoverDefinition } from '#lib/local/workflow/definition.ts';
import { SILENT } from '#lib/ports/telemetry.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';

/** From where the applications' users come, and Route 53's health checks, in the network. */
const USERS = 'users';
const CHECKERS = 'health checkers';

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
  readonly #settings: CloudSettings;
  readonly #stopped: AbortController;
  readonly #processes: RegionProcesses;
  readonly #stores: LocalStores;
  readonly #opened: AwsPeers[] = [];
  #direct: Record<string, RegionEndpoints> = {};
  #queueUrls: Record<string, string> = {};
  #dns: CloudDns | undefined;
  /** Where the function `leads` of each Region answers, if health checks move the record. */
  readonly #leadsPorts = new Map<RegionId, number>();
  /** Ports at which users reach the application of each Region, over the network. */
  readonly #applicationPorts = new Map<RegionId, number>();

  private constructor(
    options: CloudOptions,
    stores: LocalStores,
    folder: string,
    network: Network,
    stopped: AbortController,
  ) {
    this.group = options.group;
    this.network = network;
    this.#options = options;
    this.#settings = new CloudSettings(options);
    this.#stores = stores;
    this.#processes = new RegionProcesses((message) => options.onMessage?.(message));
    this.#folder = folder;
    this.#stopped = stopped;
  }

  /** Brings all Regions up, or throws SERVER_NOT_STARTED or PLATFORM_UNSUPPORTED and leaves nothing behind. */
  static async start(options: CloudOptions): Promise<EmbeddedCloud> {
    // Where there is no server to start, nothing is started.
    dynamoBinary();
    const stores = localStores(options.group, options);
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
      cloud = new EmbeddedCloud(options, stores, folder, await Network.start(stopped.signal), stopped);
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
    return { ...this.group, ...this.#settings.names(), endpoints: this.#direct };
  }

  /** The file that tells the command line how to reach this cloud. */
  get file(): string {
    return join(this.#folder, 'cloud.json');
  }

  /** The group as somebody outside all Regions reaches it. Closed with the cloud. */
  open(): OpenGroup {
    const group = openGroup(this.resources, { telemetry: SILENT });
    this.#opened.push(group.peers);
    return group;
  }

  /** What is Understudy's own in each Region, as somebody outside all of them reaches it. Closed with the cloud. */
  peers(): AwsPeers {
    return this.open().peers;
  }

  /** Is this process up, rather than on its way back? */
  isUp(region: RegionId, part: Part): boolean {
    return this.#processes.of(region, part).isUp;
  }

  /** Sends a signal to one process of a Region; after SIGKILL it is started again. */
  kill(region: RegionId, part: Part, signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#processes.of(region, part).kill(signal);
  }

  /** Kills a Region; connections to it hang, as those to a lost Region do, until `restoreRegion`. */
  async loseRegion(region: RegionId): Promise<void> {
    await this.network.set('*', region, { state: 'hang' });
    await this.network.set(region, '*', { state: 'hang' });
    await Promise.all(this.#processes.allOf(region).map((part) => part.halt()));
  }

  /** Ends one process of a Region for good, or until `start`. */
  async halt(region: RegionId, part: Part): Promise<void> {
    await this.#processes.of(region, part).halt();
  }

  async start(region: RegionId, part: Part): Promise<void> {
    await this.#processes.of(region, part).run();
  }

  /** Stops all processes of a Region where they are, as a hypervisor may; connections to it hang meanwhile. */
  pauseRegion(region: RegionId): void {
    for (const part of this.#processes.allOf(region)) part.kill('SIGSTOP');
  }

  resumeRegion(region: RegionId): void {
    for (const part of this.#processes.allOf(region)) part.kill('SIGCONT');
  }

  /** Cuts a Region off from the other Regions, but not from its own users, or ends that. */
  async partition(region: RegionId, state: 'hang' | 'up'): Promise<void> {
    for (const name of membersOf(this.group)) {
      if (name === region) continue;
      await this.network.set(name, region, { state });
      await this.network.set(region, name, { state });
    }
    await this.network.set(region, BETWEEN, { state });
  }

  /** The group's name in DNS, and where it is asked for. Throws if the cloud has no failover. */
  get dns(): { readonly name: string; readonly server: string; readonly ttlSeconds: number } {
    const { failover, recordName: name } = this.#settings;
    return { name, server: this.#cloudDns.endpoints.dns, ttlSeconds: failover.ttlSeconds };
  }

  /** Where users reach what DNS calls `target`. */
  applicationUrl(target: string): string {
    const region = this.group.regions.find(({ name }) => this.#settings.targetOf(name) === target)?.name;
    const port = region && this.#applicationPorts.get(region);
    if (port === undefined) throw new Error(`no application is called ${target}`);
    return `http://127.0.0.1:${port}`;
  }

  /** The DNS record as Route 53's control plane has it. */
  record(): Route53Record {
    return this.#cloudDns.record();
  }

  /** Brings a lost Region back on the data that it had. */
  async restoreRegion(region: RegionId): Promise<void> {
    await this.network.set('*', region, { state: 'up' });
    await this.network.set(region, '*', { state: 'up' });
    for (const part of this.#processes.allOf(region)) await part.run();
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
    await this.#processes.halt();
    await this.#dns?.stop();
    await this.network.close();
  }

  async #boot(): Promise<void> {
    const replicas = this.group.regions.map(({ name }) => name);
    const { witnesses } = this.group;
    const { failover, onStep = () => {} } = this.#options;
    const place = {
      settings: this.#settings,
      folder: this.#folder,
      run: this.#processes.run,
      stores: this.#stores,
    };
    onStep('the servers of each Region');
    await all([
      ...replicas.map(async (region) => {
        this.#direct[region] = await bootReplica(place, region);
      }),
      ...witnesses.map(async (region) => {
        this.#direct[region] = await bootWitness(place, region);
      }),
    ]);
    const { register } = this.group;
    if (register !== undefined) {
      const endpoint = await bootRegister(place);
      for (const region of membersOf(this.group))
        this.#direct[region] = { ...this.#direct[region]!, register: endpoint };
    }
    const opened = this.open();
    const { peers } = opened;
    onStep('tables, buckets and queues');
    if (register !== undefined)
      await provisionRegister(peers.clients(this.#options.leader).register, register);
    await all([
      ...witnesses.map((region) =>
        provisionWitness(peers.clients(region).dynamodb, namesOf(this.group, region)),
      ),
      ...replicas.map(async (region) => {
        this.#queueUrls[region] = await provisionRegion(peers.clients(region), namesOf(this.group, region));
        await this.#stores.provision(opened, region);
        await peers.control(region).nameLeader({ epoch: parseEpoch(1), leader: this.#options.leader });
      }),
    ]);
    if (failover !== undefined) await this.#found(peers);
    onStep('the network and the functions');
    const endpoints = await this.#openLinks();
    await all(
      membersOf(this.group).map((region) =>
        this.#processes.run(region, 'worker', (signal) =>
          this.#startWorker(region, endpoints.get(region)!, signal),
        ),
      ),
    );
    if (this.#settings.flips) await this.#openLeaderSets(replicas);
    if (failover !== undefined) await this.#openApplications(replicas, endpoints);
    await writeCloudFile(this.#folder, {
      pid: process.pid,
      config: this.#configOf(this.#options.leader),
      isWatched: failover !== undefined,
      endpoints: this.#direct,
    });
  }

  /** The group's register and record as they are before the first failover. */
  async #found(peers: AwsPeers): Promise<void> {
    const { leader } = this.#options;
    this.#dns = await CloudDns.start(this.#settings, this.#stopped.signal);
    const members = membersOf(this.group);
    for (const region of members) this.#direct[region] = { ...this.#direct[region]!, ...this.#dns.endpoints };
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
    if (this.#settings.flips)
      for (const { name } of this.group.regions) this.#leadsPorts.set(name, await freePort());
    else
      await this.record().flip(undefined, { epoch: parseEpoch(1), target: this.#settings.targetOf(leader) });
  }

  /** Health checks ask each Region over the network. */
  async #openLeaderSets(regions: readonly RegionId[]): Promise<void> {
    const links = regions.map((to) => ({
      from: CHECKERS,
      to,
      service: 'leads',
      targetPort: this.#leadsPorts.get(to)!,
    }));
    const ports = await this.network.open(links, this.#options.link);
    const portOf = new Map(regions.map((region, index) => [region, ports[index]!]));
    await this.#cloudDns.openLeaderSets(portOf, this.#options.leader);
  }

  async #openApplications(
    regions: readonly RegionId[],
    endpoints: ReadonlyMap<RegionId, Endpoints>,
  ): Promise<void> {
    const ports = await Promise.all(regions.map(() => freePort()));
    await all(
      regions.map((region, index) =>
        this.#processes.run(region, 'application', (signal) =>
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

  /** For each Region, the endpoints of all as it sees them: its own at hand, the others over the network. */
  async #openLinks(): Promise<ReadonlyMap<RegionId, Endpoints>> {
    const regions = membersOf(this.group);
    const links = regions.flatMap((from) =>
      regions
        .filter((to) => to !== from)
        .flatMap((to) =>
          (['dynamodb', 's3', 'cloudwatch', 'postgres'] as const).flatMap((service) => {
            const url = this.#direct[to]![service];
            return url === undefined ? [] : [{ from, to, service, targetPort: Number(new URL(url).port) }];
          }),
        ),
    );
    const ports = await this.network.open(links, this.#options.link);
    const seen = new Map<RegionId, Record<string, RegionEndpoints>>();
    const registers = await this.#openRegister(regions);
    for (const region of regions)
      seen.set(region, { [region]: { ...this.#direct[region]!, ...registers.get(region) } });
    links.forEach(({ from, to, service }, index) => {
      const known = seen.get(from)!;
      // An MRSC table is reached from one's own Region, or not at all.
      const { register: _, ...there } = this.#direct[to]!;
      known[to] = {
        ...there,
        ...known[to],
        [service]: onPort(this.#direct[to]![service]!, ports[index]!),
      };
    });
    return seen;
  }

  /** An MRSC table as each Region reaches it: as far away as another Region. */
  async #openRegister(
    regions: readonly RegionId[],
  ): Promise<ReadonlyMap<RegionId, Pick<RegionEndpoints, 'register'>>> {
    const { register } = this.#direct[regions[0]!]!;
    if (register === undefined) return new Map();
    const targetPort = Number(new URL(register).port);
    const links = regions.map((from) => ({ from, to: BETWEEN, service: 'register', targetPort }));
    const ports = await this.network.open(links, this.#options.link);
    return new Map(regions.map((region, index) => [region, { register: onPort(register, ports[index]!) }]));
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

  get #cloudDns(): CloudDns {
    if (this.#dns === undefined) throw new Error('the cloud has no DNS');
    return this.#dns;
  }

  /** The configuration of the functions of a Region. */
  #configOf(region: RegionId) {
    return this.#settings.configOf(region, {
      queueUrl: this.#queueUrls[region],
      zoneId: this.#dns?.zoneId,
    });
  }
}

/** An endpoint on this machine, as it is reached on another port. */
function onPort(endpoint: string, port: number): string {
  const url = new URL(endpoint);
  url.port = String(port);
  return url.href;
}

/** The endpoints of a Region's own servers, as its application is known to them. */
function asApplication(endpoints: Endpoints, region: RegionId): Endpoints {
  const own = endpoints[region]!;
  const postgres = own.postgres === undefined ? {} : { postgres: asApplicationRole(own.postgres) };
  return { ...endpoints, [region]: { ...own, ...postgres, credentials: APPLICATION } };
}
