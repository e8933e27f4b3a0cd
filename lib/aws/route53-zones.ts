import {
  GetHostedZoneCommand,
  ListResourceRecordSetsCommand,
  NoSuchHostedZone,
  type Route53Client,
} from '@aws-sdk/client-route-53';
import { canonicalTarget } from '#lib/aws/dns-target.ts';
import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { ZoneFacts } from '#lib/domain/deploy-check.ts';
import type { HostedZones } from '#lib/ports/deploy-facts.ts';

const ADDRESS_TYPES = ['A', 'AAAA', 'CNAME'];

/** The hosted zones of Route 53. */
export class Route53Zones implements HostedZones {
  readonly #route53: Route53Client;

  constructor(route53: Route53Client) {
    this.#route53 = route53;
  }

  async look(record: RecordConfig): Promise<ZoneFacts | undefined> {
    try {
      const { HostedZone } = await this.#route53.send(new GetHostedZoneCommand({ Id: record.zoneId }));
      if (HostedZone === undefined) return undefined;
      return {
        name: HostedZone.Name!,
        isPrivate: HostedZone.Config?.PrivateZone === true,
        isTaken: record.flip === 'data-plane' && (await this.#isTaken(record)),
      };
    } catch (error) {
      if (error instanceof NoSuchHostedZone) return undefined;
      throw error;
    }
  }

  /** All sets of a name are on the first page: they come first from there on, and there are few. */
  async #isTaken({ name, zoneId }: RecordConfig): Promise<boolean> {
    const { ResourceRecordSets = [] } = await this.#route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: zoneId, StartRecordName: name }),
    );
    return ResourceRecordSets.some(
      ({ Name, SetIdentifier, Type }) =>
        canonicalTarget(Name!) === name && SetIdentifier === undefined && ADDRESS_TYPES.includes(Type!),
    );
  }
}
