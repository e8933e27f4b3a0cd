import { setTimeout as sleep } from 'node:timers/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { LeaderClient, type LeaderClientOptions } from '#lib/client/leader-client.ts';
import { LeaderFinder } from '#lib/client/leader-finder.ts';
import { LeaderLease } from '#lib/client/leader-lease.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';

/**
 * A client of a group's DynamoDB table in five lines:
 *
 *     const orders = connectLeader({ group: 'orders', name: 'orders.example.com', ttlSeconds: 5 });
 *     await orders.write((dynamodb, abortSignal) =>
 *       dynamodb.send(new PutItemCommand({ TableName: 'orders', Item }), { abortSignal }),
 *       { idempotent: true });
 *
 * What the name stands for begins with the Region that it stands for: `eu-west-1.orders.example.com`.
 *
 * @param options `controlTable`: `understudy-<group>-control` if absent.
 */
export function connectLeader(options: {
  readonly group: string;
  readonly name: string;
  readonly ttlSeconds: number;
  readonly controlTable?: string;
  readonly onEvent?: LeaderClientOptions<DynamoDBClient>['onEvent'];
}): LeaderClient<DynamoDBClient> {
  const { name, ttlSeconds, onEvent } = options;
  const group = parseGroupId(options.group);
  const table = options.controlTable ?? `understudy-${group}-control`;
  const clock = { now: () => Date.now(), steadyMs: () => performance.now() };
  return new LeaderClient({
    finder: new LeaderFinder({ name, ttlSeconds, now: clock.now }),
    open: (target) => {
      const region = parseRegionId(target.split('.')[0]!);
      // What a Region that hangs was asked must end some time: the look at its lease is asked again only after that.
      const requestHandler = { connectionTimeout: 1_000, requestTimeout: 2_000, throwOnRequestTimeout: true };
      const dynamodb = new DynamoDBClient({ region, maxAttempts: 1, requestHandler });
      const acceptor = new AwsAcceptor({ dynamodb, group, table });
      return { handle: dynamodb, lease: new LeaderLease({ region, acceptor, clock }) };
    },
    now: clock.now,
    sleep: (ms) => sleep(ms),
    ...(onEvent && { onEvent }),
  });
}
