import { BatchWriteItemCommand, type DynamoDBClient, type WriteRequest } from '@aws-sdk/client-dynamodb';
import { DescribeStreamCommand, type DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import { type SdkItem, sitOut } from '#lib/aws/dynamo-failure.ts';
import type { Item } from '#lib/domain/attribute-value.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';

/** DynamoDB takes no more in one call. */
const BATCH = 25;
/** Calls for what DynamoDB leaves over of one batch. */
const MAX_TRIES = 6;

/** The stream of a DynamoDB table. */
export class AwsChangeStream implements ChangeStream {
  readonly maxBeats: number;
  readonly #dynamodb: DynamoDBClient;
  readonly #streams: DynamoDBStreamsClient;
  readonly #region: RegionId;
  readonly #table: string;
  readonly #streamArn: () => Promise<string>;
  readonly #heartbeat: (atMs: number, nth: number) => Item;

  /** @param deps `heartbeat`: the item; one that is put again at a later moment is changed by that. */
  constructor(deps: {
    readonly dynamodb: DynamoDBClient;
    readonly streams: DynamoDBStreamsClient;
    readonly region: RegionId;
    readonly table: string;
    readonly streamArn: () => Promise<string>;
    readonly heartbeat: (atMs: number, nth: number) => Item;
    readonly maxBeats: number;
  }) {
    this.#dynamodb = deps.dynamodb;
    this.#streams = deps.streams;
    this.#region = deps.region;
    this.#table = deps.table;
    this.#streamArn = deps.streamArn;
    this.#heartbeat = deps.heartbeat;
    this.maxBeats = deps.maxBeats;
  }

  async newestShards(): Promise<readonly string[]> {
    const StreamArn = await this.#streamArn();
    const found = new Set<string>();
    const parents = new Set<string | undefined>();
    for (let start: string | undefined; ; ) {
      const { StreamDescription } = await this.#streams.send(
        new DescribeStreamCommand({ StreamArn, ExclusiveStartShardId: start }),
      );
      for (const { ShardId, ParentShardId } of StreamDescription?.Shards ?? []) {
        if (ShardId !== undefined) found.add(ShardId);
        parents.add(ParentShardId);
      }
      start = StreamDescription?.LastEvaluatedShardId;
      if (start === undefined) break;
    }
    // One that has ended and that none follows yet is among them: no heartbeat comes in it, so it proves nothing.
    return [...found].filter((shard) => !parents.has(shard)).map((shard) => `${this.#region}/${shard}`);
  }

  async beat(count: number, atMs: number): Promise<void> {
    const puts = Array.from({ length: count }, (_, nth) => ({
      PutRequest: { Item: this.#heartbeat(atMs, nth) as SdkItem },
    }));
    const batches = Array.from({ length: Math.ceil(count / BATCH) }, (_, index) =>
      puts.slice(index * BATCH, (index + 1) * BATCH),
    );
    await Promise.all(batches.map((batch) => this.#put(batch)));
  }

  async #put(batch: readonly WriteRequest[]): Promise<void> {
    let left = [...batch];
    for (let tries = 0; tries < MAX_TRIES && left.length > 0; tries += 1) {
      if (tries > 0) await sitOut(tries);
      const { UnprocessedItems } = await this.#dynamodb.send(
        new BatchWriteItemCommand({ RequestItems: { [this.#table]: left } }),
      );
      left = UnprocessedItems?.[this.#table] ?? [];
    }
  }
}
