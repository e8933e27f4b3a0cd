import { randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Template } from 'aws-cdk-lib/assertions';
import pg from 'pg';
import { vi } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { postgresPrepareCommand } from '#lib/cli/postgres-prepare.ts';
import { Engine } from '#lib/constructs/engine.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { founded } from '#lib/domain/control/register.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { createPublication } from '#lib/engines/postgres/publication.ts';
import { CloudDns } from '#lib/local/cloud-dns.ts';
import { CloudSettings } from '#lib/local/cloud-settings.ts';
import { Network } from '#lib/local/network.ts';
import { namesOf, provisionWitness } from '#lib/local/provision.ts';
import { foundGroup } from '#lib/usecases/control/found-group.ts';
import { ACCOUNT, CODE, testApp } from '../constructs/stacks.ts';
import { temporaryDirectory } from '../local/until.ts';
import { DeployedRegion } from './deployed-region.ts';
import { startFakeSecrets } from './fake-secrets.ts';
import { startTlsPostgres } from './postgres-tls.ts';
import { startRegionServers } from './region-servers.ts';

export const EU = parseRegionId('eu-west-1');
export const US = parseRegionId('us-east-1');
export const WITNESS = parseRegionId('eu-central-1');
const REPLICAS = [EU, US];
const MEMBERS = [...REPLICAS, WITNESS];

/** What the role of a group may do in its database: see docs/SECURITY.md and `understudy doctor`. No superuser. */
const rightsOf = (password: string) => `
  CREATE ROLE understudy LOGIN REPLICATION PASSWORD '${password}';
  GRANT pg_signal_backend, pg_read_all_stats TO understudy;
  GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text), pg_replication_origin_session_setup(text) TO understudy;
  GRANT SET ON PARAMETER session_replication_role TO understudy;
  CREATE ROLE app LOGIN PASSWORD 'application';
  CREATE TABLE account (id int PRIMARY KEY, balance int);
  GRANT ALL ON account TO understudy;
  GRANT ALL ON account TO app;
  ALTER DATABASE postgres OWNER TO understudy`;

/**
 * A group of databases as it is deployed: for each function of each Region what its template tells that one, the workflow and
 * the event sources of the templates; real PostgreSQL by verified TLS, a Secrets Manager that answers one call, a network
 * between the Regions that can be cut, DNS.
 */
export async function deployDatabases() {
  await using started = new AsyncDisposableStack();
  const network = started.use(await Network.start());
  const folder = started.use(await temporaryDirectory()).path;
  const stopped = new AbortController();
  started.defer(() => stopped.abort());
  const named = parseGroup({
    group: 'orders',
    engine: { kind: 'postgres', databases: {}, publication: 'understudy', slot: 'understudy' },
    regions: REPLICAS.map((name) => ({ name })),
    witnesses: [WITNESS],
  });
  const settings = new CloudSettings({
    group: named,
    leader: EU,
    failover: { profile: 'balanced', ttlSeconds: 1, propagationMs: 0 },
  });
  const dns = await CloudDns.start(settings, stopped.signal);
  started.defer(() => dns.stop());

  const sites = new Map<RegionId, Awaited<ReturnType<typeof startSite>>>();
  for (const region of REPLICAS) sites.set(region, started.use(await startSite(region)));
  const voter = started.use(await startRegionServers(WITNESS));
  const authority = join(folder, 'authorities.pem');
  const all = [...sites.values()].map(({ postgres }) => readFile(postgres.authority, 'utf8'));
  await writeFile(authority, (await Promise.all(all)).join(''));

  const subnets = { vpc: { vpcId: 'vpc-0123abcd' }, subnets: ['subnet-0123aaaa'] };
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: REPLICAS,
    witness: WITNESS,
    profile: 'balanced',
    engine: Engine.postgres({
      databases: Object.fromEntries(
        REPLICAS.map((region) => [
          region,
          {
            server: { host: 'localhost', port: sites.get(region)!.postgres.server.port },
            database: 'postgres',
            role: 'understudy',
            secret: 'orders/understudy',
          },
        ]),
      ),
      network: Object.fromEntries(MEMBERS.map((region) => [region, subnets])),
      applicationRoles: ['app'],
    }),
    dns: {
      zone: { hostedZoneId: dns.zoneId },
      record: settings.recordName,
      endpoints: Object.fromEntries(REPLICAS.map((region) => [region, settings.targetOf(region)])),
    },
    retention: { days: 0, graceHours: 0 },
    drill: { schedule: 'cron(0 10 1 * ? *)', approvedBy: 'the test' },
    account: ACCOUNT,
    code: CODE,
  });
  const templateOf = new Map<RegionId, Template>(
    templates(group).map((template, index) => [MEMBERS[index]!, template]),
  );

  /** By service, where a Region's servers are. */
  const servers = (region: RegionId): Readonly<Record<string, string>> => {
    const site = sites.get(region);
    if (site === undefined) return { dynamodb: voter.endpoints.dynamodb };
    const { dynamodb, s3 } = site.servers.endpoints;
    return { dynamodb, s3: s3!, secrets: site.secrets.endpoint, postgres: site.postgres.url('understudy') };
  };
  const links = MEMBERS.flatMap((from) =>
    MEMBERS.filter((to) => to !== from).flatMap((to) =>
      Object.entries(servers(to)).map(([service, url]) => ({
        from,
        to,
        service,
        targetPort: Number(new URL(url).port),
      })),
    ),
  );
  const ports = await network.open(links, { forwardMs: 5, backMs: 5 });
  /** As a Region sees them: its own at hand, the others over the network. */
  const endpointsFrom = (from: RegionId) =>
    Object.fromEntries(
      MEMBERS.map((to) => {
        const { endpoints } = sites.get(to)?.servers ?? voter;
        const there = Object.entries(servers(to)).map(([service, url]) => {
          const at = links.findIndex(
            (link) => link.from === from && link.to === to && link.service === service,
          );
          return [service, at < 0 ? url : Object.assign(new URL(url), { port: ports[at] }).href];
        });
        return [to, { ...endpoints, ...Object.fromEntries(there), ...dns.endpoints }];
      }),
    );

  const regions = new Map<RegionId, DeployedRegion>();
  const lines: string[] = [];
  started.defer(() => void vi.unstubAllEnvs());
  started.defer(async () => void (await Promise.all([...regions.values()].map((each) => each.stop()))));
  for (const region of MEMBERS) {
    const deployed = new DeployedRegion({
      region,
      template: templateOf.get(region)!,
      authority,
      endpoints: endpointsFrom(region),
      folder: join(folder, region),
      telemetry: (line) => lines.push(line),
    });
    const { buckets, controlTable, logTable, ...config } = readConfig({
      UNDERSTUDY_CONFIG: deployed.settingsOf('sentinel'),
    });
    const { servers: own } = sites.get(region) ?? {};
    if (own === undefined) {
      await provisionWitness(voter.clients.dynamodb, { ...namesOf(config, region), controlTable });
    } else await own.provision(config, { bucket: buckets[region]!, controlTable, logTable });
    regions.set(region, deployed);
  }
  for (const deployed of regions.values()) await deployed.load();
  const { peers } = regions.get(EU)!;
  for (const region of REPLICAS) {
    await regions
      .get(region)!
      .peers.control(region)
      .nameLeader({ epoch: parseEpoch(1), leader: EU });
  }
  await foundGroup(
    {
      acceptors: { members: MEMBERS, of: (region) => peers.acceptor(region) },
      region: EU,
      chance: () => randomUUID(),
      random: Math.random,
      sleep: (ms) => sleep(ms),
    },
    founded(EU, parseEpoch(1), 'founding'),
  );
  await dns.record().flip(undefined, { epoch: parseEpoch(1), target: settings.targetOf(EU) });
  for (const deployed of regions.values()) await deployed.start();

  const stop = started.move();
  return {
    lines,
    dns,
    targetOf: (region: RegionId) => settings.targetOf(region),
    at: (region: RegionId) => regions.get(region)!,
    /** In a Region's database, past everything: as the superuser, or as somebody whom a guard and a fence may refuse. */
    async query(region: RegionId, sql: string, role?: { readonly user: string; readonly password: string }) {
      const url = Object.assign(new URL(sites.get(region)!.postgres.server.url()), {
        ...(role && { username: role.user, password: role.password }),
      });
      const client = new pg.Client(url.href);
      try {
        await client.connect();
        return (await client.query(sql)).rows;
      } finally {
        await client.end();
      }
    },
    /** Cuts a Region off from the others, or joins it to them again. */
    async cut(region: RegionId, state: 'hang' | 'up') {
      await network.set('*', region, { state });
      await network.set(region, '*', { state });
    },
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  };
}

/** The servers of a replica's Region, its database prepared as docs/OPERATIONS.md says. */
async function startSite(region: RegionId) {
  await using started = new AsyncDisposableStack();
  const servers = started.use(await startRegionServers(region));
  const postgres = started.use(await startTlsPostgres());
  const secrets = started.use(await startFakeSecrets());
  const password = `first-${region}`;
  await postgres.sql(rightsOf(password));
  secrets.values.set('orders/understudy', JSON.stringify({ username: 'understudy', password }));
  // Of all tables, only a superuser may publish changes; the rest the role makes itself.
  await postgres.sql(createPublication('understudy'));
  const url = Object.assign(new URL(postgres.url('understudy')), { password }).href;
  await postgresPrepareCommand({ group: 'orders', url, publication: 'understudy', slot: 'understudy' });
  const stop = started.move();
  return { servers, postgres, secrets, [Symbol.asyncDispose]: () => stop.disposeAsync() };
}
