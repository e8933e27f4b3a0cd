import { type DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import type { S3Client } from '@aws-sdk/client-s3';
import { conditional } from '#lib/aws/dynamo-failure.ts';
import { entryKey, HEAD, readHead } from '#lib/aws/log-items.ts';
import { LogTable } from '#lib/aws/log-table.ts';
import { SegmentBucket } from '#lib/aws/segment-bucket.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { type Entry, type Head, type KeepOutcome, nextGeneration, unlink } from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { DropOutcome, LogKeeper, StoredSegment } from '#lib/ports/log-keeper.ts';

/** Retention of the log on S3 and DynamoDB: whatever it does to the table is conditional on the head. */
export class AwsLogKeeper implements LogKeeper {
  readonly #table: LogTable;
  readonly #segments: SegmentBucket;

  constructor(deps: {
    dynamodb: DynamoDBClient;
    s3: S3Client;
    group: GroupId;
    table: string;
    bucket: string;
  }) {
    this.#table = new LogTable(deps);
    this.#segments = new SegmentBucket({ ...deps, prefix: deps.group });
  }

  async unlink(
    lane: LaneId,
    expected: Head,
    entry: Entry,
    authority: Epoch,
    atMs: number,
  ): Promise<KeepOutcome> {
    const planned = unlink(expected, entry.first, authority, atMs);
    if (planned.kind !== 'kept') return planned;
    const done = await this.#table.transact([
      {
        Update: {
          ...this.#table.at(lane, HEAD),
          UpdateExpression: 'SET firstLsn = :first, unlinkedAtMs = :at',
          ConditionExpression: 'sealedEpoch <= :authority AND firstLsn = :was AND lastLsn >= :first',
          ExpressionAttributeValues: {
            ':authority': { N: `${authority}` },
            ':was': { N: `${expected.firstLsn}` },
            ':first': { N: `${entry.first}` },
            ':at': { N: `${atMs}` },
          },
        },
      },
      {
        // The log may have gone back and on since: then no entry need begin there.
        ConditionCheck: {
          ...this.#table.at(lane, entryKey(entry.first)),
          ConditionExpression: 'chain = :chain',
          ExpressionAttributeValues: { ':chain': { S: entry.chain } },
        },
      },
    ]);
    const head = await this.#table.head(lane);
    return done ? { kind: 'kept', head } : refused(head, authority);
  }

  async dropEntries(lane: LaneId, first: Lsn, authority: Epoch): Promise<DropOutcome> {
    const count = await this.#table.dropBefore(lane, first, {
      condition: 'sealedEpoch <= :authority AND firstLsn >= :first',
      values: { ':authority': { N: `${authority}` }, ':first': { N: `${first}` } },
    });
    if (count !== undefined) return { kind: 'dropped', count };
    return refused(await this.#table.head(lane), authority);
  }

  async nextGeneration(lane: LaneId, authority: Epoch): Promise<KeepOutcome> {
    for (;;) {
      const head = await this.#table.head(lane);
      const next = nextGeneration(head, authority);
      if (next.kind !== 'kept') return next;
      const outcome = await conditional(() =>
        this.#table.dynamodb.send(
          new UpdateItemCommand({
            ...this.#table.at(lane, HEAD),
            UpdateExpression: 'SET generation = :next',
            ConditionExpression: 'sealedEpoch <= :authority AND generation = :generation',
            ExpressionAttributeValues: {
              ':next': { N: `${next.head.generation}` },
              ':authority': { N: `${authority}` },
              ':generation': { N: `${head.generation}` },
            },
            ReturnValues: 'ALL_NEW',
            ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
          }),
        ),
      );
      if (outcome.kind === 'done') return { kind: 'kept', head: readHead(outcome.result.Attributes!) };
      // A log that nobody has written to has no segments to tell apart.
      if (outcome.item === undefined) return { kind: 'moved', head };
    }
  }

  segments(after?: StoredSegment): Promise<readonly StoredSegment[]> {
    return this.#segments.list(after);
  }

  dropSegments(segments: readonly StoredSegment[]): Promise<void> {
    return this.#segments.drop(segments);
  }
}

function refused(head: Head, authority: Epoch): Exclude<KeepOutcome, { readonly kind: 'kept' }> {
  return { kind: head.sealedEpoch > authority ? 'fenced' : 'moved', head };
}
