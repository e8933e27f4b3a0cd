import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { type GroupOptions, groupSites } from '#lib/client/group-sites.ts';
import { LeaderClient } from '#lib/client/leader-client.ts';

/**
 * A client of a group's DynamoDB table in five lines:
 *
 *     const orders = connectLeader({ group: 'orders', name: 'orders.example.com', ttlSeconds: 5 });
 *     await orders.write((dynamodb, abortSignal) =>
 *       dynamodb.send(new PutItemCommand({ TableName: 'orders', Item }), { abortSignal }),
 *       { idempotent: true });
 *
 * @param options `endpoints`: what the name stands for while a Region leads, for each Region: the group's
 * `dns.endpoints`. Without it, that begins with the Region: `eu-west-1.orders.example.com`. `controlTable`:
 * `understudy-<group>-control` if absent. `registerTable`: the table of `Register.mrsc`, where the group has that register.
 *
 * Throws CONFIG_INVALID. A write throws DNS_TARGET_UNKNOWN where DNS names something that is none of the endpoints.
 */
export function connectLeader(options: GroupOptions): LeaderClient<DynamoDBClient> {
  const { openLease, regionOf, ...sites } = groupSites(options);
  return new LeaderClient<DynamoDBClient>({
    ...sites,
    open: (target) => {
      const { dynamodb, lease } = openLease(regionOf(target));
      return { handle: dynamodb, lease };
    },
  });
}
