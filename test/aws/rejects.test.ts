import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SqsRejects } from '#lib/aws/sqs-rejects.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import type { Reject } from '#lib/ports/rejects.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const config = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
});
const REJECT: Reject = {
  lane: '0',
  shard: 's',
  sequence: '17',
  code: 'ITEM_TOO_LARGE',
  reason: 'ein ß',
  key: 'AQ==',
};

describe('the failure queue', () => {
  let servers: RegionServers;
  let queueUrl: string;
  beforeAll(async () => {
    servers = await startRegionServers(parseRegionId('eu-west-1'));
    queueUrl = (await servers.provision(config)).failureQueueUrl;
  });
  afterAll(async () => {
    await servers?.[Symbol.asyncDispose]();
  });

  test('holds each reject as one message of JSON', async () => {
    const { sqs } = servers.clients;
    await new SqsRejects({ sqs, queueUrl }).put(REJECT);
    const { Messages } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl: queueUrl, MaxNumberOfMessages: 10 }),
    );
    expect(Messages?.map(({ Body }) => JSON.parse(Body!))).toEqual([REJECT]);
  });

  test('that is not there takes nothing, and says so', async () => {
    const rejects = new SqsRejects({ sqs: servers.clients.sqs, queueUrl: `${queueUrl}-none` });
    await expect(rejects.put(REJECT)).rejects.toThrow();
  });
});
