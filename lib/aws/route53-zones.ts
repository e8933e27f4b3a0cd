import { GetHostedZoneCommand, NoSuchHostedZone, type Route53Client } from '@aws-sdk/client-route-53';
import type { HostedZones } from '#lib/ports/deploy-facts.ts';

/** The hosted zones of Route 53. */
export class Route53Zones implements HostedZones {
  readonly #route53: Route53Client;

  constructor(route53: Route53Client) {
    this.#route53 = route53;
  }

  async nameOf(zoneId: string): Promise<string | undefined> {
    try {
      const { HostedZone } = await this.#route53.send(new GetHostedZoneCommand({ Id: zoneId }));
      return HostedZone?.Name;
    } catch (error) {
      if (error instanceof NoSuchHostedZone) return undefined;
      throw error;
    }
  }
}
