import { BatchWriteItemCommand, DeleteItemCommand, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { eventually } from '../eventually.ts';
import type { Group } from '../group.ts';
import { standingsOf } from '../items.ts';
import { commonDigest } from '../replicas.ts';

const ITEMS = 500;
const BATCH = 25;
/** A follower takes its first copy at its first tick, which comes once a minute; the lease begins with the next. */
const FIRST_MS = 150_000;

/** Data in the leader's table arrives everywhere by the functions that were deployed. */
export async function replicate(group: Group): Promise<void> {
  const { report, regions } = group;
  const [leader, ...followers] = regions as [string, ...string[]];
  report.begin('replicate');
  await load(group, leader);
  const begun = performance.now();
  const same = await report.check(
    'the replicas are equal, item by item',
    () =>
      eventually('all replicas are equal', FIRST_MS, async () => {
        const common = await commonDigest(group, regions);
        return common !== undefined && common.items.size === ITEMS - ITEMS / 20 ? common : undefined;
      }),
    ({ digest, items }) => `${items.size} items, digest ${digest}`,
  );
  report.figure('first copy, s', Math.round((performance.now() - begun) / 1000));
  await report.check('understudy verify agrees', () => group.understudy(['verify']).then(() => same.digest));
  await report.check('the leader holds a lease', () =>
    eventually('a lease is in force', FIRST_MS, async () => {
      const [own] = await standingsOf(group, [leader]);
      return own!.leaseUntilMs > Date.now()
        ? `${own!.leaseUntilMs - Date.now()} ms are left of it`
        : undefined;
    }),
  );
  await report.check('the logs end with the same chain', () =>
    eventually('all heads agree', 60_000, async () => {
      const chains = new Set((await standingsOf(group)).map(({ chain, lastLsn }) => `${lastLsn} ${chain}`));
      return chains.size === 1 ? `LSN ${[...chains][0]!.slice(0, 24)}` : undefined;
    }),
  );
  await report.check('every follower has the segments of the leader', () =>
    eventually('all buckets hold the same', 60_000, async () => {
      const [own, ...theirs] = await Promise.all(
        [leader, ...followers].map((region) => segmentsIn(group, region)),
      );
      return theirs.every((each) => own!.every((key) => each.includes(key)))
        ? `${own!.length} segments`
        : undefined;
    }),
  );
}

async function load(group: Group, leader: string): Promise<void> {
  const client = group.dynamodb(leader);
  const key = (n: number) => ({ pk: { S: group.partition(`customer-${n % 17}`) }, sk: { S: `order-${n}` } });
  for (let from = 0; from < ITEMS; from += BATCH) {
    const put = Array.from({ length: BATCH }, (_, i) => ({
      PutRequest: {
        Item: {
          ...key(from + i),
          value: { S: `order of ${group.secret}` },
          amount: { N: `${from + i}.50` },
          note: {
            M: { gift: { BOOL: i % 2 === 0 }, tags: { SS: ['a', 'b'] }, photo: { B: Buffer.from([i]) } },
          },
        },
      },
    }));
    await client.send(new BatchWriteItemCommand({ RequestItems: { [group.table]: put } }));
  }
  for (let n = 0; n < ITEMS; n += 20) {
    await client.send(new DeleteItemCommand({ TableName: group.table, Key: key(n) }));
    await client.send(
      new UpdateItemCommand({
        TableName: group.table,
        Key: key(n + 1),
        UpdateExpression: 'SET amount = amount + :one REMOVE note.gift',
        ExpressionAttributeValues: { ':one': { N: '1' } },
      }),
    );
  }
  group.report.say(`      ${ITEMS} items loaded in ${leader}, a few of them changed and deleted again`);
}

async function segmentsIn(group: Group, region: string): Promise<readonly string[]> {
  const { Contents = [] } = await group
    .s3(region)
    .send(new ListObjectsV2Command({ Bucket: group.bucketOf(region), Prefix: `${group.id}/` }));
  return Contents.map(({ Key }) => Key!);
}
