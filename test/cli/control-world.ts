import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AttributeValue, ScanCommand } from '@aws-sdk/client-dynamodb';
import { expect, vi } from 'vitest';
import { AwsPeers } from '#lib/aws/aws-peers.ts';
import { type RegionEndpoints, readConfig } from '#lib/aws/config.ts';
import { runProgram } from '#lib/cli/program.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { LSN_ZERO } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { startDnsServer } from '#lib/local/dns/dns-server.ts';
import { temporaryDirectory } from '../local/until.ts';
import { E1 } from '../support/log-history.ts';
import { AP, EU, US } from '../support/memory-group.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';
import { jsonLines } from './run.ts';

const REGIONS = [EU, US, AP] as const;
/** Nobody listens here. */
const NOWHERE = 'http://127.0.0.1:9';

export type Ran = {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly json: readonly Record<string, unknown>[];
};

/** Three Regions' tables and buckets, without any functions: what the commands say and write is all that happens. */
export class ControlWorld implements AsyncDisposable {
  readonly #servers: readonly RegionServers[];
  readonly #dns: Awaited<ReturnType<typeof startDnsServer>>;
  readonly #directory: Awaited<ReturnType<typeof temporaryDirectory>>;
  #groups = 0;

  private constructor(
    servers: readonly RegionServers[],
    dns: Awaited<ReturnType<typeof startDnsServer>>,
    directory: Awaited<ReturnType<typeof temporaryDirectory>>,
  ) {
    this.#servers = servers;
    this.#dns = dns;
    this.#directory = directory;
  }

  static async start(): Promise<ControlWorld> {
    const servers = await Promise.all(REGIONS.map(startRegionServers));
    const dns = await startDnsServer({ zone: 'understudy.internal', propagationMs: 0 });
    return new ControlWorld(servers, dns, await temporaryDirectory());
  }

  /** A group of its own, in which nobody leads yet. */
  async group(): Promise<ControlGroup> {
    const name = `group-${++this.#groups}`;
    const group = parseGroup({
      group: name,
      engine: { kind: 'dynamodb', table: `${name}-data`, key: [{ name: 'id', type: 'S' }] },
      regions: REGIONS.map((region) => ({ name: region })),
    });
    const made = await Promise.all(this.#servers.map((server) => server.provision(group)));
    const record = `${name}.understudy.internal`;
    const config = {
      ...group,
      region: EU,
      regions: REGIONS.map((region, index) => ({ name: region, bucket: made[index]!.bucket })),
      logTable: made[0]!.logTable,
      controlTable: made[0]!.controlTable,
      failureQueueUrl: made[0]!.failureQueueUrl,
      failover: {
        profile: 'fast',
        record: { zoneId: this.#dns.zoneId, name: record, ttlSeconds: 1 },
        targets: Object.fromEntries(REGIONS.map((region) => [region, `${region}.${record}`])),
      },
    };
    const endpoints = Object.fromEntries(
      this.#servers.map(({ endpoints, region }) => [region, { ...endpoints, route53: this.#dns.endpoint }]),
    );
    return new ControlGroup(config, endpoints, this.#directory.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((server) => server[Symbol.asyncDispose]()));
    await this.#dns.stop();
    await this.#directory[Symbol.asyncDispose]();
  }
}

type GroupSettings = { readonly group: string; readonly controlTable: string; readonly logTable: string };

export class ControlGroup {
  readonly config: GroupSettings;
  readonly folder: string;
  readonly peers: AwsPeers;
  readonly endpoints: Readonly<Record<string, RegionEndpoints>>;

  constructor(config: GroupSettings, endpoints: Readonly<Record<string, RegionEndpoints>>, folder: string) {
    this.config = config;
    this.folder = folder;
    this.endpoints = endpoints;
    const settings = readConfig({
      UNDERSTUDY_CONFIG: JSON.stringify(config),
      UNDERSTUDY_ENDPOINTS: JSON.stringify(endpoints),
    });
    this.peers = new AwsPeers(settings, STAMP_ATTRIBUTE);
  }

  /** Runs a command in this process; `lost` Regions refuse connections. */
  async run(args: readonly string[], lost: readonly RegionId[] = []): Promise<Ran> {
    const file = join(this.folder, `${this.config.group}-${lost.join('-')}.json`);
    const endpoints = Object.fromEntries(
      Object.entries(this.endpoints).map(([region, each]) => [
        region,
        lost.includes(region as RegionId) ? { ...each, dynamodb: NOWHERE, s3: NOWHERE } : each,
      ]),
    );
    await writeFile(file, JSON.stringify({ pid: process.pid, config: this.config, endpoints }));
    return runInProcess([...args, '--cloud', file]);
  }

  /** EU leads epoch 1, and the others have a position. */
  async found(): Promise<void> {
    expect((await this.run(['found', '--leader', EU])).status).toBe(0);
    for (const region of [US, AP]) {
      const control = this.peers.control(region);
      const { lease } = await control.takeLease(LANE_0);
      const applied = { lsn: LSN_ZERO, epoch: E1, totalBytes: 0n, commitMs: Date.now() };
      await control.saveApplyState(lease, { applied });
    }
  }

  /** Every item of the control and log tables of a Region. */
  async items(region: RegionId): Promise<readonly unknown[]> {
    const tables = [this.config.controlTable, this.config.logTable];
    const pages = await Promise.all(
      tables.map((TableName) =>
        this.peers.clients(region).dynamodb.send(new ScanCommand({ TableName, ConsistentRead: true })),
      ),
    );
    return pages.flatMap(({ Items = [] }) => Items.toSorted((a, b) => textOf(a).localeCompare(textOf(b))));
  }
}

/** The key of an item of either table. */
function textOf({ at, id, lane }: Readonly<Record<string, AttributeValue>>): string {
  return [id?.S, lane?.S, at?.S].join(' ');
}

async function runInProcess(args: readonly string[]): Promise<Ran> {
  let stdout = '';
  let stderr = '';
  const spies = [
    vi.spyOn(console, 'log').mockImplementation((line: unknown) => {
      stdout += `${String(line)}\n`;
    }),
    // Commander prints its help here.
    vi.spyOn(process.stdout, 'write').mockReturnValue(true),
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      stderr += String(text);
      return true;
    }),
  ];
  try {
    const status = await runProgram(['node', 'understudy', ...args]);
    return {
      status,
      stdout,
      stderr,
      get json() {
        return jsonLines(stdout);
      },
    };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
