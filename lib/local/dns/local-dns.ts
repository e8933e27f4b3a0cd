import { ApiServer } from '#lib/local/api-server.ts';
import { DnsListener } from '#lib/local/dns/dns-listener.ts';
import { HealthChecks } from '#lib/local/dns/health-checks.ts';
import { resolve } from '#lib/local/dns/resolve.ts';
import { Route53Api } from '#lib/local/dns/route53-api.ts';
import { Zone } from '#lib/local/dns/zone.ts';

export type LocalDnsOptions = {
  /** Name of the one hosted zone, e.g. `example.internal`. */
  readonly zone: string;
  /** Port of the Route 53 API. */
  readonly port: number;
  /** Port of the DNS server, UDP and TCP. */
  readonly dnsPort: number;
  /** Time from an accepted change to the answers that show it; Infinity: not before `settle`. */
  readonly propagationMs: number;
  /** How often health checks ask their endpoints. */
  readonly healthIntervalMs: number;
};

/** A hosted zone on 127.0.0.1: Route 53's API to change it, and a DNS server that answers from it. Keeps nothing. */
export class LocalDns implements AsyncDisposable {
  readonly #zone: Zone;
  readonly #health: HealthChecks;
  readonly #api: ApiServer;
  readonly #listener: DnsListener;

  private constructor(zone: Zone, health: HealthChecks, api: ApiServer, listener: DnsListener) {
    this.#zone = zone;
    this.#health = health;
    this.#api = api;
    this.#listener = listener;
  }

  static async start(options: LocalDnsOptions): Promise<LocalDns> {
    const zone = new Zone(options.zone, options.propagationMs);
    const health = new HealthChecks(options.healthIntervalMs);
    const api = await ApiServer.open(options.port, new Route53Api(zone, health));
    const listener = await DnsListener.open(options.dnsPort, (question) =>
      resolve(zone, question, { isHealthy: (id) => health.isHealthy(id), random: Math.random }),
    );
    return new LocalDns(zone, health, api, listener);
  }

  /** Brings the DNS server in sync with all accepted changes. */
  settle(): void {
    this.#zone.settle();
  }

  /** Has the API refuse its next requests as Route 53 does above its rate. */
  throttle(requests: number): void {
    this.#api.throttle(requests);
  }

  async stop(): Promise<void> {
    this.#zone.close();
    this.#health.close();
    await Promise.all([this.#api.close(), this.#listener.close()]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
