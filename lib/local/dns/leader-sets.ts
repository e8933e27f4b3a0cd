import {
  ChangeResourceRecordSetsCommand,
  CreateHealthCheckCommand,
  type Route53Client,
} from '@aws-sdk/client-route-53';
import { typeOfTarget } from '#lib/aws/dns-target.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import { HEALTH_CHECK, regionSet } from '#lib/domain/control/flip-set.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** Makes what the stack of a Region makes of a record that health checks move: its set, and the check that it hangs on. */
export async function makeLeaderSet(
  route53: Route53Client,
  record: RecordConfig,
  { port, region, target }: { readonly region: RegionId; readonly target: string; readonly port: number },
): Promise<void> {
  const { HealthCheck } = await route53.send(
    new CreateHealthCheckCommand({
      CallerReference: `${record.name} ${region}`,
      HealthCheckConfig: {
        Type: 'HTTP',
        IPAddress: '127.0.0.1',
        Port: port,
        ResourcePath: '/',
        FailureThreshold: HEALTH_CHECK.failureThreshold,
      },
    }),
  );
  const type = typeOfTarget(target) as 'A' | 'AAAA' | 'CNAME';
  const { name, setIdentifier, ttlSeconds, values, weight } = regionSet(record, region, target, type);
  const set = {
    Name: name,
    Type: type,
    TTL: ttlSeconds,
    SetIdentifier: setIdentifier,
    Weight: weight,
    HealthCheckId: HealthCheck!.Id!,
    ResourceRecords: values.map((Value) => ({ Value })),
  };
  const ChangeBatch = { Changes: [{ Action: 'CREATE' as const, ResourceRecordSet: set }] };
  await route53.send(new ChangeResourceRecordSetsCommand({ HostedZoneId: record.zoneId, ChangeBatch }));
}
