/** Entry point of the DNS server's process. Arguments: zone, port, DNS port, propagation ms, health interval ms. */
import { LocalDns } from '#lib/local/dns/local-dns.ts';
import { serveParent } from '#lib/local/parent.ts';

const [zone, ...numbers] = process.argv.slice(2);
const [port, dnsPort, propagationMs, healthIntervalMs] = numbers.map(Number);
if (
  zone === undefined ||
  port === undefined ||
  dnsPort === undefined ||
  propagationMs === undefined ||
  healthIntervalMs === undefined
) {
  throw new TypeError('usage: dns-process.ts ZONE PORT DNS_PORT PROPAGATION_MS HEALTH_INTERVAL_MS');
}
await LocalDns.start({ zone, port, dnsPort, propagationMs, healthIntervalMs });
serveParent();
