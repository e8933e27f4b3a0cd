import { spawnNode } from '#lib/local/child.ts';
import { ZONE_ID } from '#lib/local/dns/route53-api.ts';
import { freePort } from '#lib/local/ports.ts';
import type { Server } from '#lib/local/supervised.ts';

export type DnsServerOptions = {
  /** Name of the one hosted zone, e.g. `example.internal`. */
  readonly zone: string;
  /** For people. */
  readonly name?: string;
  /** Time from an accepted change to the answers that show it, ms. */
  readonly propagationMs?: number;
  /** How often health checks ask their endpoints, ms. */
  readonly healthIntervalMs?: number;
  /** Ports of an earlier start, to come back on; free ones if absent. The zone is empty again. */
  readonly port?: number;
  readonly dnsPort?: number;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

/** `endpoint` is Route 53's API; `dnsPort` answers DNS queries by UDP and TCP on 127.0.0.1. */
export type DnsServer = Server & { readonly dnsPort: number; readonly zoneId: string };

/** Starts a Route 53-compatible API and the DNS server of its one hosted zone. Throws SERVER_NOT_STARTED. */
export async function startDnsServer(options: DnsServerOptions): Promise<DnsServer> {
  const { zone, name = 'DNS server', propagationMs = 500, healthIntervalMs = 1_000, signal } = options;
  const port = options.port ?? (await freePort());
  const dnsPort = options.dnsPort ?? (await freePort());
  const child = spawnNode(new URL('./dns-process.ts', import.meta.url), {
    name,
    args: [zone, ...[port, dnsPort, propagationMs, healthIntervalMs].map(String)],
    ...(signal && { signal }),
  });
  await child.ready;
  return { ...child, port, dnsPort, zoneId: ZONE_ID, endpoint: `http://127.0.0.1:${port}` };
}
