import {
  type DynamoDBClient,
  GetItemCommand,
  QueryCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
} from '@aws-sdk/client-dynamodb';
import { isContention, type SdkItem, sitOut, transactional } from '#lib/aws/dynamo-failure.ts';
import { entryKey, HEAD, readEntry, readHead } from '#lib/aws/log-items.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { type Entry, emptyHead, type Head } from '#lib/domain/log.ts';
import type { Lsn } from '#lib/domain/lsn.ts';

/** Conflicts with appends that a transaction on the head sits out before it gives up. */
const MAX_CONFLICTS = 12;
/** Entries deleted in one step: DynamoDB takes 100 items a transaction, one of which is the head. */
const MAX_DROP = 99;

/** What must hold of the head at the moment at which entries are deleted. */
type HeadCondition = { readonly condition: string; readonly values: SdkItem };

/** A group's items in a log table: reading them, and deleting entries on a condition on the head. */
export class LogTable {
  readonly dynamodb: DynamoDBClient;
  readonly name: string;
  readonly #group: GroupId;

  constructor(deps: { dynamodb: DynamoDBClient; group: GroupId; table: string }) {
    this.dynamodb = deps.dynamodb;
    this.name = deps.table;
    this.#group = deps.group;
  }

  /** Table and key of an item. */
  at(lane: LaneId, at: string) {
    return { TableName: this.name, Key: this.key(lane, at) };
  }

  key(lane: LaneId, at: string) {
    return { lane: { S: `${this.#group}#${lane}` }, at: { S: at } };
  }

  async head(lane: LaneId): Promise<Head> {
    const { Item } = await this.dynamodb.send(
      new GetItemCommand({ ...this.at(lane, HEAD), ConsistentRead: true }),
    );
    return Item === undefined ? emptyHead(this.#group, lane) : readHead(Item);
  }

  /** Up to `limit` entries that begin at `from` or later and at `to` or sooner; the newest first if not `forward`. */
  async entries(
    lane: LaneId,
    { from, to }: { readonly from?: Lsn; readonly to?: Lsn },
    limit: number,
    forward = true,
  ): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    let after: SdkItem | undefined;
    // A page ends at 1 MiB, whatever the limit is.
    do {
      const { Items = [], LastEvaluatedKey } = await this.dynamodb.send(
        new QueryCommand({
          TableName: this.name,
          KeyConditionExpression: 'lane = :lane AND #at BETWEEN :from AND :to',
          ExpressionAttributeNames: { '#at': 'at' },
          ExpressionAttributeValues: {
            ':lane': this.key(lane, HEAD).lane,
            ':from': { S: from === undefined ? 'entry#' : entryKey(from) },
            ':to': { S: to === undefined ? 'entry#~' : entryKey(to) },
          },
          ConsistentRead: true,
          ScanIndexForward: forward,
          Limit: limit - entries.length,
          ...(after && { ExclusiveStartKey: after }),
        }),
      );
      entries.push(...Items.map(readEntry));
      after = LastEvaluatedKey;
    } while (after !== undefined && entries.length < limit);
    return entries;
  }

  /** Deletes some entries before `first`, the oldest first, if `when` holds; how many, or undefined if it does not. */
  async dropBefore(lane: LaneId, first: Lsn, when: HeadCondition): Promise<number | undefined> {
    const old = await this.entries(lane, { to: first }, MAX_DROP);
    return this.#drop(
      lane,
      old.filter((entry) => entry.first < first),
      when,
    );
  }

  /** The same for entries from `first` on, the newest first: while one is left, it stands in the way of an append. */
  async dropFrom(lane: LaneId, first: Lsn, when: HeadCondition): Promise<number | undefined> {
    return this.#drop(lane, await this.entries(lane, { from: first }, MAX_DROP, false), when);
  }

  /** True if all of it was done, false if a condition stood against it. Conflicts with others are sat out. */
  async transact(items: TransactWriteItem[]): Promise<boolean> {
    for (let conflicts = 0; ; conflicts++) {
      try {
        const refused = await transactional(() =>
          this.dynamodb.send(new TransactWriteItemsCommand({ TransactItems: items })),
        );
        return refused === undefined;
      } catch (error) {
        if (!isContention(error) || conflicts === MAX_CONFLICTS) throw error;
        await sitOut(conflicts);
      }
    }
  }

  async #drop(
    lane: LaneId,
    entries: readonly Entry[],
    { condition, values }: HeadCondition,
  ): Promise<number | undefined> {
    if (entries.length === 0) return 0;
    const done = await this.transact([
      {
        ConditionCheck: {
          ...this.at(lane, HEAD),
          ConditionExpression: condition,
          ExpressionAttributeValues: values,
        },
      },
      ...entries.map(({ first }) => ({ Delete: this.at(lane, entryKey(first)) })),
    ]);
    return done ? entries.length : undefined;
  }
}
