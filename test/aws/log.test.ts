import { type GetItemCommand, PutItemCommand, TransactWriteItemsCommand } from '@aws-sdk/client-dynamodb';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsLog } from '#lib/aws/aws-log.ts';
import { AwsLogKeeper } from '#lib/aws/aws-log-keeper.ts';
import { type GroupId, LANE_0, parseRegionId } from '#lib/domain/ids.ts';
import { place } from '#lib/domain/log.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { freshGroup, type LogSubject, replicaLogContract } from '../contracts/replica-log.contract.ts';
import { allEntries, draft, E2, fill, names } from '../support/log-history.ts';
import { anyOperations, perform } from '../support/log-operations.ts';
import { startRegionServers } from '../support/region-servers.ts';

const config = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
});

/** One pair of servers; the second Region's log is another table and another bucket there. */
async function startSubject(): Promise<
  LogSubject &
    AsyncDisposable & {
      openCrashing(group: GroupId): AwsLog;
      openOvertaken(group: GroupId, then: () => Promise<unknown>): AwsLog;
    }
> {
  const servers = await startRegionServers(parseRegionId('eu-west-1'));
  const { dynamodb, s3 } = servers.clients;
  const first = await servers.provision(config);
  const second = await servers.provision(config, { logTable: 'second-log', bucket: 'second-bucket' });
  const keepers = new WeakMap<ReplicaLog, AwsLogKeeper>();
  return {
    open: (group: GroupId, place, small = 0) => {
      const { logTable: table, bucket } = place === 'second' ? second : first;
      const log = new AwsLog({ dynamodb, s3, group, table, bucket, small });
      keepers.set(log, new AwsLogKeeper({ dynamodb, s3, group, table, bucket }));
      return log;
    },
    keep: (log) => keepers.get(log)!,
    /** A log whose process ends when it is about to unlink an entry. */
    openCrashing(group) {
      const crashing = {
        send: (command: GetItemCommand) =>
          command instanceof TransactWriteItemsCommand
            ? Promise.reject(new Error('crash'))
            : dynamodb.send(command),
      } as typeof dynamodb;
      const { logTable: table, bucket } = first;
      return new AwsLog({ dynamodb: crashing, s3, group, table, bucket });
    },
    /** A log that gives another process time to act as soon as it has replaced its head. */
    openOvertaken(group, then) {
      const overtaken = {
        async send(command: GetItemCommand) {
          const answer = await dynamodb.send(command);
          if ((command as unknown) instanceof PutItemCommand) await then();
          return answer;
        },
      } as typeof dynamodb;
      const { logTable: table, bucket } = first;
      return new AwsLog({ dynamodb: overtaken, s3, group, table, bucket });
    },
    async forge(group, hash, bytes) {
      await s3.send(new PutObjectCommand({ Bucket: first.bucket, Key: `${group}/${hash}`, Body: bytes }));
    },
    [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
  };
}

replicaLogContract('on S3 and DynamoDB', startSubject);

describe('the log on S3 and DynamoDB', () => {
  let subject: Awaited<ReturnType<typeof startSubject>>;
  beforeAll(async () => {
    subject = await startSubject();
  });
  afterAll(async () => {
    await subject?.[Symbol.asyncDispose]();
  });

  test('that broke off while it went back takes nothing new before a second try has removed the strays', async () => {
    const group = freshGroup();
    const log = subject.open(group);
    const written = await fill(log, names('e', 4));
    const head = await log.head(LANE_0);
    await expect(subject.openCrashing(group).rewind(LANE_0, head, written[1]!)).rejects.toThrow('crash');
    const back = await log.head(LANE_0);
    expect(back.lastLsn).toBe(6n);

    const entry = place(back, draft('other'), E2);
    expect((await log.append(LANE_0, back, [entry], E2)).kind).not.toBe('appended');
    expect(await log.head(LANE_0)).toEqual(back);

    expect(await log.rewind(LANE_0, head, written[1]!)).toEqual(back);
    expect(await allEntries(log)).toEqual(written.slice(0, 2));
    expect((await log.append(LANE_0, back, [entry], E2)).kind).toBe('appended');
  });

  test.each(['rebase', 'rewind'] as const)(
    'deletes nothing that is appended while it ends a %s',
    async (kind) => {
      const group = freshGroup();
      const log = subject.open(group);
      const other = subject.open(group, 'second');
      const written = await fill(log, names('e', 5));
      await fill(other, names('e', 2));
      const onto = await other.head(LANE_0);
      const [next] = await fill(other, ['next'], { epoch: E2 });
      let appended = 0;
      const overtaken = subject.openOvertaken(group, async () => {
        const { kind: outcome } = await log.append(LANE_0, await log.head(LANE_0), [next!], E2);
        if (outcome === 'appended') appended++;
      });
      const head = await log.head(LANE_0);
      if (kind === 'rebase') await overtaken.rebase(LANE_0, head, onto);
      else await overtaken.rewind(LANE_0, head, written[1]!);
      const entries = await allEntries(log);
      expect(entries.some(({ chain }) => chain === next!.chain)).toBe(appended > 0);
      expect((await log.head(LANE_0)).chain).toBe(appended > 0 ? next!.chain : onto.chain);
      expect(appended).toBe(kind === 'rebase' ? 1 : 0);
    },
  );

  test('answers any sequence of operations as its twin in memory does', async () => {
    await fc.assert(
      fc.asyncProperty(anyOperations(15), async (operations) => {
        const group = freshGroup();
        const log = subject.open(group);
        const twin = new MemoryLog(group);
        expect(await perform(log, subject.keep(log), operations)).toEqual(
          await perform(twin, twin, operations),
        );
      }),
      { numRuns: 30 },
    );
  });
});
