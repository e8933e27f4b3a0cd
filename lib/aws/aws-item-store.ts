import {
  DeleteItemCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  GetItemCommand,
  PutItemCommand,
  ScanCommand,
  type TransactWriteItem,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import type { AwsControl } from '#lib/aws/aws-control.ts';
import {
  type Conditional,
  conditional,
  isContention,
  type SdkItem,
  sitOut,
  transactional,
} from '#lib/aws/dynamo-failure.ts';
import type { Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import type { ApplyLease } from '#lib/ports/control.ts';
import type { GuardedOutcome, ItemStore, ScanPage, StampedItem } from '#lib/ports/item-store.ts';

/** Conflicts with other transactions that one leased write sits out before it gives up. */
const MAX_CONFLICTS = 8;
/** A stamp begins with as many bytes that stand for its item's key. */
const KEY_BYTES = 4;
/** DynamoDB takes 4 MiB a transaction; images are counted by their JSON in UTF-8, which is never smaller. */
const MAX_TRANSACTION_BYTES = 3 << 20;

/** A replicated DynamoDB table. `stampAttribute` is the reserved attribute, kept out of all items given and taken. */
export class AwsItemStore implements ItemStore {
  readonly #dynamodb: DynamoDBClient;
  readonly #table: string;
  readonly #key: KeySchema;
  readonly #stamp: string;
  readonly #control: Pick<AwsControl, 'leaseCheck'>;

  constructor(deps: {
    dynamodb: DynamoDBClient;
    table: string;
    key: KeySchema;
    stampAttribute: string;
    control: Pick<AwsControl, 'leaseCheck'>;
  }) {
    this.#dynamodb = deps.dynamodb;
    this.#table = deps.table;
    this.#key = deps.key;
    this.#stamp = deps.stampAttribute;
    this.#control = deps.control;
  }

  async replace({ item, stamp }: StampedItem): Promise<GuardedOutcome> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new PutItemCommand({
          TableName: this.#table,
          Item: this.#stamped(item, stamp),
          ...this.#ifEarlier(stamp),
        }),
      ),
    );
    return this.#guarded(outcome, stamp);
  }

  async markDeleted(key: Item, stamp: Uint8Array): Promise<GuardedOutcome> {
    const outcome = await conditional(() =>
      this.#dynamodb.send(
        new UpdateItemCommand({
          TableName: this.#table,
          Key: key as SdkItem,
          UpdateExpression: 'SET #stamp = :stamp',
          ...this.#ifEarlier(stamp),
        }),
      ),
    );
    return this.#guarded(outcome, stamp);
  }

  async removeMarked(key: Item, stamp: Uint8Array): Promise<void> {
    await conditional(() =>
      this.#dynamodb.send(
        new DeleteItemCommand({
          TableName: this.#table,
          Key: key as SdkItem,
          ConditionExpression: '#stamp = :stamp',
          ExpressionAttributeNames: { '#stamp': this.#stamp },
          ExpressionAttributeValues: { ':stamp': { B: stamp } },
        }),
      ),
    );
  }

  async putLeased(writes: readonly StampedItem[], lease: ApplyLease): Promise<'done' | 'lost'> {
    for (const part of this.#parts(writes)) {
      const puts = part.map(({ item, stamp }) => ({
        Put: {
          TableName: this.#table,
          Item: this.#stamped(item, stamp),
          ...this.#unlessLater(stamp),
        },
      }));
      if ((await this.#transact(puts, lease)) === 'lost') return 'lost';
    }
    return 'done';
  }

  async markDeletedLeased(key: Item, stamp: Uint8Array, lease: ApplyLease): Promise<'done' | 'lost'> {
    const unlessLater = this.#unlessLater(stamp);
    const update = {
      Update: {
        TableName: this.#table,
        Key: key as SdkItem,
        UpdateExpression: 'SET #stamp = :stamp',
        ...unlessLater,
        ConditionExpression: `attribute_exists(#key) AND (${unlessLater.ConditionExpression})`,
        ExpressionAttributeNames: { ...unlessLater.ExpressionAttributeNames, '#key': this.#key[0].name },
      },
    };
    return this.#transact([update], lease);
  }

  async scan(
    cursor: string | undefined,
    part?: { readonly segment: number; readonly segments: number },
  ): Promise<ScanPage> {
    const page = await this.#dynamodb.send(
      new ScanCommand({
        TableName: this.#table,
        ConsistentRead: true,
        ExclusiveStartKey: cursor === undefined ? undefined : readCursor(cursor),
        ...(part && { Segment: part.segment, TotalSegments: part.segments }),
      }),
    );
    const rows = (page.Items ?? []).map((stored) => {
      const { [this.#stamp]: stamp, ...item } = stored;
      return { item: item as Item, stamp: stamp?.B };
    });
    return page.LastEvaluatedKey ? { rows, cursor: writeCursor(page.LastEvaluatedKey) } : { rows };
  }

  async get(key: Item): Promise<Item | undefined> {
    const { Item: stored } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: key as SdkItem, ConsistentRead: true }),
    );
    if (stored === undefined) return undefined;
    const { [this.#stamp]: _, ...item } = stored;
    return item as Item;
  }

  async estimateRows(): Promise<number> {
    const { Table } = await this.#dynamodb.send(new DescribeTableCommand({ TableName: this.#table }));
    return Table?.ItemCount ?? 0;
  }

  /** Writes an item as an application would: unconditionally, without a stamp. */
  async put(item: Item): Promise<void> {
    await this.#dynamodb.send(new PutItemCommand({ TableName: this.#table, Item: item as SdkItem }));
  }

  /**
   * Throws SCHEMA_DIFFERS, STREAM_MISSING or STREAM_VIEW_TYPE if the table could not be a leader's: followers could not
   * apply its changes, or nobody could capture them. Else its stream's ARN.
   */
  async checkFitness(): Promise<string> {
    const { Table } = await this.#dynamodb.send(new DescribeTableCommand({ TableName: this.#table }));
    const types = new Map(
      Table?.AttributeDefinitions?.map((each) => [each.AttributeName, each.AttributeType]),
    );
    const has = Table?.KeySchema?.map(({ AttributeName }) => `${AttributeName} ${types.get(AttributeName)}`);
    const wants = this.#key.map(({ name, type }) => `${name} ${type}`);
    if (has?.join(', ') !== wants.join(', ')) {
      throw new UnderstudyError(
        'SCHEMA_DIFFERS',
        `table ${this.#table} has the key (${has?.join(', ')}), not that of its group (${wants.join(', ')})`,
        'Make it anew with the key of its group; it takes a new snapshot of the leader.',
      );
    }
    const spec = Table?.StreamSpecification;
    if (!spec?.StreamEnabled || Table?.LatestStreamArn === undefined) {
      throw new UnderstudyError(
        'STREAM_MISSING',
        `table ${this.#table} has no stream`,
        'Switch its stream on with the view type NEW_AND_OLD_IMAGES.',
      );
    }
    if (spec.StreamViewType !== 'NEW_AND_OLD_IMAGES') {
      throw new UnderstudyError(
        'STREAM_VIEW_TYPE',
        `the stream of table ${this.#table} carries ${spec.StreamViewType}`,
        'Switch the stream off and on again with NEW_AND_OLD_IMAGES.',
      );
    }
    return Table.LatestStreamArn;
  }

  /**
   * Sends `writes` with a check of the lease. A write whose condition fails is one that has taken effect before
   * or was overtaken, so it is left out of the next try.
   */
  async #transact(writes: readonly TransactWriteItem[], lease: ApplyLease): Promise<'done' | 'lost'> {
    let left = writes;
    for (let conflicts = 0; left.length > 0; ) {
      try {
        const reasons = await transactional(() =>
          this.#dynamodb.send(
            new TransactWriteItemsCommand({
              TransactItems: [{ ConditionCheck: this.#control.leaseCheck(lease) }, ...left],
            }),
          ),
        );
        if (reasons === undefined) return 'done';
        if (reasons[0]?.Code === 'ConditionalCheckFailed') return 'lost';
        left = left.filter((_, index) => reasons[index + 1]?.Code !== 'ConditionalCheckFailed');
      } catch (error) {
        if (!isContention(error) || ++conflicts > MAX_CONFLICTS) throw error;
        await sitOut(conflicts);
      }
    }
    return 'done';
  }

  /** The writes in as many transactions as their size asks for. */
  #parts(writes: readonly StampedItem[]): readonly (readonly StampedItem[])[] {
    const parts: StampedItem[][] = [[]];
    let size = 0;
    for (const write of writes) {
      const json = JSON.stringify(write.item, (_, value) =>
        value instanceof Uint8Array ? '='.repeat(value.length) : value,
      );
      const bytes = Buffer.byteLength(json);
      if (size + bytes > MAX_TRANSACTION_BYTES && size > 0) {
        parts.push([]);
        size = 0;
      }
      parts.at(-1)!.push(write);
      size += bytes;
    }
    return parts;
  }

  #guarded(outcome: Conditional<unknown>, stamp: Uint8Array): GuardedOutcome {
    if (outcome.kind === 'done') return 'written';
    if (outcome.item === undefined) return 'absent';
    const stored = outcome.item[this.#stamp]?.B;
    const isOwn =
      stored !== undefined &&
      Buffer.compare(stored.subarray(0, KEY_BYTES), stamp.subarray(0, KEY_BYTES)) === 0;
    return isOwn ? 'superseded' : 'unstamped';
  }

  #stamped(item: Item, stamp: Uint8Array): SdkItem {
    return { ...(item as SdkItem), [this.#stamp]: { B: stamp } };
  }

  /** The item bears an earlier stamp of its own. */
  #ifEarlier(stamp: Uint8Array) {
    return {
      ConditionExpression: '#stamp >= :least AND #stamp < :stamp',
      ExpressionAttributeNames: { '#stamp': this.#stamp },
      ExpressionAttributeValues: { ':least': { B: leastOf(stamp) }, ':stamp': { B: stamp } },
      ReturnValuesOnConditionCheckFailure: 'ALL_OLD' as const,
    };
  }

  /** The item does not bear this or a later stamp of its own: what is no stamp of that item counts as none. */
  #unlessLater(stamp: Uint8Array) {
    return {
      ConditionExpression: 'attribute_not_exists(#stamp) OR NOT #stamp BETWEEN :stamp AND :most',
      ExpressionAttributeNames: { '#stamp': this.#stamp },
      ExpressionAttributeValues: { ':stamp': { B: stamp }, ':most': { B: mostOf(stamp) } },
    };
  }
}

/** The least and the greatest value that a stamp of the same item can have. */
function leastOf(stamp: Uint8Array): Uint8Array {
  return new Uint8Array(stamp).fill(0x00, KEY_BYTES);
}

function mostOf(stamp: Uint8Array): Uint8Array {
  return new Uint8Array(stamp).fill(0xff, KEY_BYTES);
}

/** A page's end as text: the key, with binary as base64 below a name that no DynamoDB type has. */
function writeCursor(key: SdkItem): string {
  return JSON.stringify(key, (_, value) =>
    value instanceof Uint8Array ? { base64: Buffer.from(value).toString('base64') } : value,
  );
}

function readCursor(text: string): SdkItem {
  return JSON.parse(text, (_, value) =>
    typeof value?.base64 === 'string' ? new Uint8Array(Buffer.from(value.base64, 'base64')) : value,
  );
}
