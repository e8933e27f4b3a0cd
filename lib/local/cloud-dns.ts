import { setTimeout as sleep } from 'node:timers/promises';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { Route53Record } from '#lib/aws/route53-record.ts';
import { ZoneVantages } from '#lib/aws/zone-vantages.ts';
import { doubtOf } from '#lib/domain/control/dns-sight.ts';
import { HEALTH_CHECK } from '#lib/domain/control/flip-set.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type CloudSettings, CREDENTIALS, ZONE } from '#lib/local/cloud-settings.ts';
import { type DnsServer, startDnsServer } from '#lib/local/dns/dns-server.ts';
import { makeLeaderSet } from '#lib/local/dns/leader-sets.ts';

/** How long DNS may take to name the first leader, ms. */
const FIRST_NAME_MS = 60_000;

/** DNS of an embedded cloud: the zone with the group's record. */
export class CloudDns {
  readonly #settings: CloudSettings;
  readonly #server: DnsServer;
  readonly #signal: AbortSignal;

  private constructor(settings: CloudSettings, server: DnsServer, signal: AbortSignal) {
    this.#settings = settings;
    this.#server = server;
    this.#signal = signal;
  }

  /** @param signal ends it. */
  static async start(settings: CloudSettings, signal: AbortSignal): Promise<CloudDns> {
    const { healthIntervalMs = HEALTH_CHECK.requestInterval * 1_000, propagationMs } = settings.failover;
    const server = await startDnsServer({ zone: ZONE, propagationMs, healthIntervalMs, signal });
    return new CloudDns(settings, server, signal);
  }

  get zoneId(): string {
    return this.#server.zoneId;
  }

  /** Where DNS is asked, and where Route 53's API is. */
  get endpoints(): { readonly dns: string; readonly route53: string } {
    return { dns: `127.0.0.1:${this.#server.dnsPort}`, route53: this.#server.endpoint };
  }

  /** The record as Route 53's control plane has it. */
  record(): Route53Record {
    const { failover, group, recordName: name } = this.#settings;
    return new Route53Record({
      route53: createRoute53Client({ endpoint: this.#server.endpoint, credentials: CREDENTIALS }),
      zoneId: this.#server.zoneId,
      name,
      ttlSeconds: failover.ttlSeconds,
      inventory: group.regions.map((each) => this.#settings.targetOf(each.name)),
    });
  }

  /**
   * Makes each Region's set of the record, and the check that asks the Region at a port; ends once DNS names `leader`.
   */
  async openLeaderSets(ports: ReadonlyMap<RegionId, number>, leader: RegionId): Promise<void> {
    const route53 = createRoute53Client({ endpoint: this.#server.endpoint, credentials: CREDENTIALS });
    for (const [region, port] of ports) {
      const target = this.#settings.targetOf(region);
      await makeLeaderSet(route53, this.#settings.recordConfig(this.zoneId), { region, target, port });
    }
    route53.destroy();
    const target = this.#settings.targetOf(leader);
    const vantages = new ZoneVantages({ name: this.#settings.recordName, servers: [this.endpoints.dns] });
    const giveUpMs = performance.now() + FIRST_NAME_MS;
    for (;;) {
      const doubt = doubtOf(await vantages.ask(target), target, false);
      if (doubt === undefined) return;
      this.#signal.throwIfAborted();
      if (performance.now() > giveUpMs) throw new Error(`DNS does not name the leader: ${doubt}`);
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }
}
