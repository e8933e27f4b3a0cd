import { isIP } from 'node:net';
import { Duration, Token } from 'aws-cdk-lib';
import type { DnsProps, ZoneProps } from '#lib/constructs/group-props.ts';
import { invalidProp } from '#lib/constructs/prop-error.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';

/** The record as the functions take it. */
export function recordOf({ flip, zone, record, ttl = Duration.seconds(10) }: DnsProps): RecordConfig {
  return {
    zoneId: zone.hostedZoneId,
    name: record.toLowerCase(),
    ttlSeconds: ttl.toSeconds(),
    ...(flip && { flip }),
  };
}

/** Throws CONFIG_INVALID that names the prop if no client could find the leader by such a record. */
export function refuseDns(dns: DnsProps, { regions }: GroupConfig): void {
  const { zone, endpoints, ttl } = dns;
  const record = dns.record.toLowerCase();
  if (Token.isUnresolved(zone.hostedZoneId)) {
    throw invalidProp(
      'dns.zone',
      'its id is known only once another stack is deployed, and a Region must not wait for another',
      'Name an existing zone: { hostedZoneId, zoneName }.',
    );
  }
  if (!/^[A-Z0-9]{1,32}$/.test(zone.hostedZoneId)) {
    throw invalidProp(
      'dns.zone',
      `${JSON.stringify(zone.hostedZoneId)} is not the id of a hosted zone`,
      'Take the id that Route 53 shows, such as Z0123456789ABCDEFGHIJ.',
    );
  }
  if (!/^([a-z0-9_-]{1,63}\.)+[a-z0-9-]{1,63}$/.test(record)) {
    throw invalidProp(
      'dns.record',
      `${JSON.stringify(dns.record)} is not a DNS name`,
      'Write it out in full.',
    );
  }
  const name = nameOf(zone);
  if (name !== undefined && record !== name && !record.endsWith(`.${name}`)) {
    throw invalidProp(
      'dns.record',
      `${record} is not in the zone ${name}`,
      `Use a name that ends in .${name}.`,
    );
  }
  const missing = regions.find((each) => endpoints[each.name] === undefined)?.name;
  if (missing !== undefined) {
    throw invalidProp(
      'dns.endpoints',
      `they do not say what ${record} is to name while ${missing} leads`,
      `Give ${missing} the name or the address of the application's endpoint there.`,
    );
  }
  const stray = Object.keys(endpoints).find((key) => !regions.some((each) => each.name === key));
  if (stray !== undefined) {
    throw invalidProp('dns.endpoints', `${stray} is not a replica of the group`, 'Take it out.');
  }
  const alias = Object.values(endpoints).find((endpoint) => isIP(endpoint) === 0);
  if (record === name && alias !== undefined) {
    throw invalidProp(
      'dns.record',
      `${record} is the top of its zone, where no name such as ${alias} can stand (CNAME)`,
      'Use a name below it, or addresses as endpoints.',
    );
  }
  const forms = new Set(Object.values(endpoints).map(isIP));
  if (dns.flip === 'data-plane' && forms.size > 1) {
    throw invalidProp(
      'dns.endpoints',
      'health checks choose among records of one type, and these are of more',
      'With flip data-plane, give all of them as names, all as IPv4 or all as IPv6 addresses.',
    );
  }
  if (ttl !== undefined && (ttl.isUnresolved() || ttl.toSeconds() < 1)) {
    throw invalidProp('dns.ttl', 'it is below a second', 'Give it a second at least.');
  }
}

/** A zone's name without the last dot, where it has one: that of a zone imported by its id alone throws. */
function nameOf(zone: ZoneProps): string | undefined {
  let name: string | undefined;
  try {
    name = zone.zoneName;
  } catch {
    return undefined;
  }
  return name === undefined || Token.isUnresolved(name) ? undefined : name.toLowerCase().replace(/\.$/, '');
}
