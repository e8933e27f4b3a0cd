import { PutObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsLog } from '#lib/aws/aws-log.ts';
import { type GroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { freshGroup, type LogSubject, replicaLogContract } from '../contracts/replica-log.contract.ts';
import { anyOperations, perform } from '../support/log-operations.ts';
import { startRegionServers } from '../support/region-servers.ts';

const config = parseGroup({
  group: 'orders',
  table: 'orders',
  key: [{ name: 'pk', type: 'S' }],
  regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
});

/** One pair of servers; the second Region's log is another table and another bucket there. */
async function startSubject(): Promise<LogSubject & AsyncDisposable> {
  const servers = await startRegionServers(parseRegionId('eu-west-1'));
  const { dynamodb, s3 } = servers.clients;
  const first = await servers.provision(config);
  const second = await servers.provision(config, { logTable: 'second-log', bucket: 'second-bucket' });
  return {
    open: (group: GroupId, place) => {
      const { logTable: table, bucket } = place === 'second' ? second : first;
      return new AwsLog({ dynamodb, s3, group, table, bucket });
    },
    async forge(group, hash, bytes) {
      await s3.send(new PutObjectCommand({ Bucket: first.bucket, Key: `${group}/${hash}`, Body: bytes }));
    },
    [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
  };
}

replicaLogContract('on S3 and DynamoDB', startSubject);

describe('the log on S3 and DynamoDB', () => {
  let subject: LogSubject & AsyncDisposable;
  beforeAll(async () => {
    subject = await startSubject();
  });
  afterAll(async () => {
    await subject?.[Symbol.asyncDispose]();
  });

  test('answers any sequence of operations as its twin in memory does', async () => {
    await fc.assert(
      fc.asyncProperty(anyOperations(15), async (operations) => {
        const group = freshGroup();
        expect(await perform(subject.open(group), operations)).toEqual(
          await perform(new MemoryLog(group), operations),
        );
      }),
      { numRuns: 30 },
    );
  });
});
