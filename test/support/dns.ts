import { Resolver } from 'node:dns/promises';
import {
  type Change,
  ChangeResourceRecordSetsCommand,
  type ResourceRecordSet,
  type Route53Client,
} from '@aws-sdk/client-route-53';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { LocalDns, type LocalDnsOptions } from '#lib/local/dns/local-dns.ts';
import { ZONE_ID } from '#lib/local/dns/route53-api.ts';
import { freePort } from '#lib/local/ports.ts';

export const ZONE = 'example.internal';

/** A zone for tests, with a client of its API and a resolver that asks its DNS server. */
export type TestDns = AsyncDisposable & {
  readonly dns: LocalDns;
  readonly endpoint: string;
  readonly dnsPort: number;
  readonly route53: Route53Client;
  readonly resolver: Resolver;
};

/** Its servers are in sync at once, unless told otherwise. */
export async function startTestDns(options: Partial<LocalDnsOptions> = {}): Promise<TestDns> {
  const [port, dnsPort] = [await freePort(), await freePort()];
  const dns = await LocalDns.start({
    zone: ZONE,
    port,
    dnsPort,
    propagationMs: 0,
    healthIntervalMs: 5,
    ...options,
  });
  const endpoint = `http://127.0.0.1:${port}`;
  const route53 = createRoute53Client({ endpoint, credentials: CREDENTIALS });
  return {
    dns,
    endpoint,
    dnsPort,
    route53,
    resolver: resolverOf(dnsPort),
    [Symbol.asyncDispose]: async () => {
      route53.destroy();
      await dns.stop();
    },
  };
}

export const CREDENTIALS = { accessKeyId: 'local', secretAccessKey: 'local' };

/** A resolver that asks this server alone. */
export function resolverOf(dnsPort: number): Resolver {
  const resolver = new Resolver();
  resolver.setServers([`127.0.0.1:${dnsPort}`]);
  return resolver;
}

/** Undefined where DNS says that there is no such record or no such name. */
export async function unlessAbsent<T>(query: Promise<T>): Promise<T | undefined> {
  try {
    return await query;
  } catch (error) {
    if (['ENODATA', 'ENOTFOUND'].includes((error as { code?: string }).code ?? '')) return undefined;
    throw error;
  }
}

/** A set as the API describes it. */
export function setOf(name: string, type: string, ...values: readonly string[]): ResourceRecordSet {
  return {
    Name: `${name}.${ZONE}`,
    Type: type as 'A',
    TTL: 60,
    ResourceRecords: values.map((Value) => ({ Value })),
  };
}

/** Sends one batch and returns the id of the change. */
export async function change(
  route53: Route53Client,
  ...changes: readonly (readonly [Change['Action'], ResourceRecordSet])[]
): Promise<string> {
  const { ChangeInfo } = await route53.send(
    new ChangeResourceRecordSetsCommand({
      HostedZoneId: ZONE_ID,
      ChangeBatch: {
        Changes: changes.map(([Action, ResourceRecordSet]) => ({ Action, ResourceRecordSet })),
      },
    }),
  );
  return ChangeInfo!.Id!;
}
