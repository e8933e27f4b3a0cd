import {
  ChangeResourceRecordSetsCommand,
  CreateHostedZoneCommand,
  DeleteHostedZoneCommand,
  ListResourceRecordSetsCommand,
} from '@aws-sdk/client-route-53';
import { Route53Record } from '#lib/aws/route53-record.ts';
import type { LeaderInDns } from '#lib/ports/leader-record.ts';
import type { Group } from './group.ts';

/** Makes the zone of the clients' name; the group's record comes into it when the group is founded. */
export async function createZone(group: Group): Promise<string> {
  const { HostedZone } = await group.route53().send(
    new CreateHostedZoneCommand({
      Name: group.zoneName,
      CallerReference: group.id,
      HostedZoneConfig: { Comment: `understudy e2e ${group.id}` },
    }),
  );
  return HostedZone!.Id!.replace('/hostedzone/', '');
}

/** What the clients' record says. */
export async function readRecord(group: Group): Promise<LeaderInDns | undefined> {
  const inventory = group.regions.map((region) => group.endpointOf(region));
  const { recordName: name, zoneId } = group;
  return new Route53Record({ route53: group.route53(), zoneId, name, ttlSeconds: 5, inventory }).read();
}

/** Removes the zone with the records that the run has made in it. */
export async function deleteZone(group: Group): Promise<void> {
  const { ResourceRecordSets = [] } = await group
    .route53()
    .send(new ListResourceRecordSetsCommand({ HostedZoneId: group.zoneId }));
  const Changes = ResourceRecordSets.filter(({ Type }) => Type !== 'NS' && Type !== 'SOA').map(
    (ResourceRecordSet) => ({ Action: 'DELETE' as const, ResourceRecordSet }),
  );
  if (Changes.length > 0) {
    await group
      .route53()
      .send(new ChangeResourceRecordSetsCommand({ HostedZoneId: group.zoneId, ChangeBatch: { Changes } }));
  }
  await group.route53().send(new DeleteHostedZoneCommand({ Id: group.zoneId }));
}
