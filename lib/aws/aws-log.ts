import {
  type DynamoDBClient,
  PutItemCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { S3Client } from '@aws-sdk/client-s3';
import { conditional, isContention, sitOut, transactional } from '#lib/aws/dynamo-failure.ts';
import { entryAttributes, entryKey, HEAD, headAttributes, readHead, VERSION } from '#lib/aws/log-items.ts';
import { LogTable } from '#lib/aws/log-table.ts';
import { SegmentBucket } from '#lib/aws/segment-bucket.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import {
  type AppendOutcome,
  append,
  type Entry,
  emptyHead,
  type Head,
  lastOf,
  rebase,
  rewind,
  type SealOutcome,
  SMALL_SEGMENT,
  sha256,
} from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** Conflicts with another transaction on the head that one append sits out before it gives up. */
const MAX_CONFLICTS = 8;

/**
 * The log of a Region: segments in an S3 bucket under `<group>/<sha256>`, or, where they are small, in their entries; entries
 * and heads in a DynamoDB table.
 * An append is one transaction, so the entry and the head that commits it are there together or not at all.
 */
export class AwsLog implements ReplicaLog {
  readonly #dynamodb: DynamoDBClient;
  readonly #segments: SegmentBucket;
  readonly #group: GroupId;
  readonly #table: LogTable;
  readonly #small: number;

  /** `small`: bytes of a segment that goes into its entry, at the most; 0 if all are to be objects. */
  constructor(deps: {
    dynamodb: DynamoDBClient;
    s3: S3Client;
    group: GroupId;
    table: string;
    bucket: string;
    small?: number;
  }) {
    this.#small = deps.small ?? SMALL_SEGMENT;
    this.#dynamodb = deps.dynamodb;
    this.#group = deps.group;
    this.#table = new LogTable(deps);
    this.#segments = new SegmentBucket({ ...deps, prefix: deps.group });
  }

  async putSegment(
    hash: string,
    bytes: Uint8Array,
    { generation }: Pick<Head, 'generation'>,
  ): Promise<'stored' | 'small'> {
    if (bytes.length <= this.#small) return 'small';
    await this.#segments.put(hash, bytes, generation);
    return 'stored';
  }

  async getSegment({ hash, segment }: Pick<Entry, 'hash' | 'segment'>): Promise<Uint8Array> {
    if (segment === undefined) return this.#segments.get(hash);
    if (sha256(segment) === hash) return segment;
    throw new UnderstudyError(
      'SEGMENT_FORGED',
      `the entry of segment ${hash} in table ${this.#table.name} holds other bytes than its hash says`,
      'Keep the item as evidence, let the Region be copied anew, and look at who may write there.',
    );
  }

  head(lane: LaneId): Promise<Head> {
    return this.#table.head(lane);
  }

  entries(lane: LaneId, from: Lsn, limit: number): Promise<readonly Entry[]> {
    return this.#table.entries(lane, { from }, limit);
  }

  async entryAt(lane: LaneId, lsn: Lsn): Promise<Entry | undefined> {
    const [entry] = await this.#table.entries(lane, { to: lsn }, 1, false);
    return entry && lastOf(entry) >= lsn ? entry : undefined;
  }

  async append(
    lane: LaneId,
    expected: Head,
    entries: readonly Entry[],
    authority: Epoch,
  ): Promise<AppendOutcome> {
    const planned = append(expected, entries, authority);
    // What can't commit by the head that the caller knows isn't sent; the answer is the head in force all the same.
    if (planned.kind !== 'appended' || planned.again) {
      return this.#explain(lane, await this.head(lane), entries, authority);
    }

    for (let conflicts = 0; ; conflicts++) {
      try {
        const reasons = await transactional(() =>
          this.#dynamodb.send(
            new TransactWriteItemsCommand({
              TransactItems: [
                { Put: this.#moveHead(lane, expected, planned.head, authority) },
                ...entries.map((entry) => ({
                  Put: {
                    TableName: this.#table.name,
                    Item: { ...this.#table.key(lane, entryKey(entry.first)), ...entryAttributes(entry) },
                    ConditionExpression: 'attribute_not_exists(lane)',
                  },
                })),
              ],
            }),
          ),
        );
        if (reasons === undefined) return planned;
        const stored = reasons[0]?.Item;
        return this.#explain(lane, stored ? readHead(stored) : await this.head(lane), entries, authority);
      } catch (error) {
        if (!isContention(error) || conflicts === MAX_CONFLICTS) throw error;
        await sitOut(conflicts);
        // A conflict means that somebody else is moving the head: read where it has gone.
        const head = await this.head(lane);
        if (head.chain !== expected.chain || head.sealedEpoch !== expected.sealedEpoch) {
          return this.#explain(lane, head, entries, authority);
        }
      }
    }
  }

  async seal(lane: LaneId, epoch: Epoch): Promise<SealOutcome> {
    let outcome = await this.#raiseSeal(lane, epoch);
    if (outcome.kind === 'refused' && outcome.item === undefined) {
      // A log that nobody has written to has no head yet.
      await this.#ensureHead(lane);
      outcome = await this.#raiseSeal(lane, epoch);
    }
    const item = outcome.kind === 'done' ? outcome.result.Attributes : outcome.item;
    const head = item ? readHead(item) : await this.head(lane);
    return { kind: head.sealedEpoch > epoch ? 'superseded' : 'sealed', head };
  }

  #raiseSeal(lane: LaneId, epoch: Epoch) {
    return conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          ...this.#table.at(lane, HEAD),
          UpdateExpression: 'SET sealedEpoch = :epoch',
          ConditionExpression: 'sealedEpoch < :epoch AND v = :version',
          ExpressionAttributeValues: { ':epoch': { N: `${epoch}` }, ':version': { N: VERSION } },
          ReturnValues: 'ALL_NEW',
          ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
        }),
      ),
    );
  }

  async rebase(lane: LaneId, expected: Head, onto: Head): Promise<Head> {
    await this.#ensureHead(lane);
    const based = rebase(expected, onto);
    // First what reaches beyond where the log is to end: once that is the head, an append could get in between.
    const replaced =
      (await this.#unlinkFrom(lane, based.firstLsn, expected)) &&
      (await this.#replaceHead(lane, expected, based));
    const head = replaced ? based : await this.head(lane);
    // An earlier try may have moved the head and then broken off.
    if (head.chain === based.chain && head.firstLsn === based.firstLsn) {
      await this.#unlinkBefore(lane, based.firstLsn);
    }
    return head;
  }

  async rewind(lane: LaneId, expected: Head, entry: Entry): Promise<Head> {
    const back = rewind(expected, entry);
    const head = (await this.#replaceHead(lane, expected, back)) ? back : await this.head(lane);
    // No append can put anything there before these are gone: its entry would stand in the way of itself.
    if (head.chain === back.chain) await this.#unlinkFrom(lane, advance(lastOf(entry), 1), head);
    return head;
  }

  /** Why an append did not move the head, given the head in force. */
  async #explain(
    lane: LaneId,
    head: Head,
    entries: readonly Entry[],
    authority: Epoch,
  ): Promise<AppendOutcome> {
    const last = entries.at(-1);
    if (last === undefined) return { kind: 'appended', head, again: true };
    // An earlier try of this very append may have committed: then its last entry is there, chain and all.
    if (head.lastLsn >= lastOf(last) && (head.chain === last.chain || (await this.#holds(lane, last)))) {
      return { kind: 'appended', head, again: true };
    }
    return append(head, entries, authority).kind === 'fenced'
      ? { kind: 'fenced', head }
      : { kind: 'moved', head };
  }

  async #holds(lane: LaneId, entry: Entry): Promise<boolean> {
    const stored = await this.entryAt(lane, entry.first);
    return stored?.chain === entry.chain;
  }

  #moveHead(lane: LaneId, expected: Head, next: Head, authority: Epoch) {
    const inForce =
      'sealedEpoch <= :authority AND lastLsn = :last AND chain = :chain AND generation = :generation';
    // A head that was never written is the empty head; the first append writes it.
    return {
      TableName: this.#table.name,
      Item: { ...this.#table.key(lane, HEAD), ...headAttributes(next) },
      ConditionExpression:
        expected.lastLsn === 0n
          ? `attribute_not_exists(lane) OR (${inForce})`
          : `${inForce} AND firstLsn = :first`,
      ExpressionAttributeValues: {
        ':authority': { N: `${authority}` },
        ':last': { N: `${expected.lastLsn}` },
        ':chain': { S: expected.chain },
        ':generation': { N: `${expected.generation}` },
        ...(expected.lastLsn === 0n ? {} : { ':first': { N: `${expected.firstLsn}` } }),
      },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const,
    };
  }

  async #ensureHead(lane: LaneId): Promise<void> {
    await conditional(() =>
      this.#dynamodb.send(
        new PutItemCommand({
          TableName: this.#table.name,
          Item: { ...this.#table.key(lane, HEAD), ...headAttributes(emptyHead(this.#group, lane)) },
          ConditionExpression: 'attribute_not_exists(lane)',
        }),
      ),
    );
  }

  /** Replaces the head if `expected` is in force to the letter. */
  async #replaceHead(lane: LaneId, expected: Head, next: Head): Promise<boolean> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new PutItemCommand({
          TableName: this.#table.name,
          Item: { ...this.#table.key(lane, HEAD), ...headAttributes(next) },
          ConditionExpression:
            'chain = :chain AND sealedEpoch = :sealed AND firstLsn = :first AND generation = :generation',
          ExpressionAttributeValues: {
            ':chain': { S: expected.chain },
            ':sealed': { N: `${expected.sealedEpoch}` },
            ':first': { N: `${expected.firstLsn}` },
            ':generation': { N: `${expected.generation}` },
          },
        }),
      ),
    );
    return outcome.kind === 'done';
  }

  /** Deletes what lies before `first`, unless the log has started over further back. */
  async #unlinkBefore(lane: LaneId, first: Lsn): Promise<void> {
    const when = { condition: 'firstLsn >= :first', values: { ':first': { N: `${first}` } } };
    while ((await this.#table.dropBefore(lane, first, when)) ?? 0);
  }

  /** Deletes what begins at `first` or later; false if the head is not `at` any more while there is something left. */
  async #unlinkFrom(lane: LaneId, first: Lsn, at: Head): Promise<boolean> {
    const when = { condition: 'chain = :chain', values: { ':chain': { S: at.chain } } };
    for (;;) {
      const count = await this.#table.dropFrom(lane, first, when);
      if (count === undefined) return false;
      if (count === 0) return true;
    }
  }
}
