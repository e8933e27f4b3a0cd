import { theRuntime } from '#functions/runtime.ts';
import { canonicalTarget } from '#lib/aws/dns-target.ts';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { Route53Record } from '#lib/aws/route53-record.ts';
import { ZoneVantages } from '#lib/aws/zone-vantages.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { FailoverDeps } from '#lib/usecases/control/failover-deps.ts';

/** Where clients look for the leader, and what a failover changes there; no record and no vantages for a group without DNS. */
export function dnsDeps(): Pick<FailoverDeps, 'record' | 'targetOf' | 'vantages'> {
  const { config, region } = theRuntime();
  const { record, targets } = config.failover;
  const targetOf = (leader: RegionId) => canonicalTarget(targets[leader] ?? leader);
  if (record === undefined) return { targetOf };
  const { dns, route53: endpoint, credentials } = config.endpoints[region] ?? {};
  const vantages = new ZoneVantages({ name: record.name, ...(dns && { servers: [dns] }) });
  if (record.flip === 'data-plane') return { targetOf, vantages };
  const route53 = createRoute53Client({
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  });
  const inventory = Object.values(targets);
  return { targetOf, vantages, record: new Route53Record({ route53, inventory, ...record }) };
}
