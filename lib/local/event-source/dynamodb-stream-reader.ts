import {
  DescribeStreamCommand,
  type DynamoDBStreamsClient,
  ExpiredIteratorException,
  GetRecordsCommand,
  GetShardIteratorCommand,
  TrimmedDataAccessException,
} from '@aws-sdk/client-dynamodb-streams';
import {
  type DataLoss,
  type Position,
  type Shard,
  type ShardRead,
  type StreamReader,
  TRIM_HORIZON,
} from '#lib/local/event-source/stream-reader.ts';
import { toStreamRecord } from '#lib/local/event-source/stream-record.ts';

/** DynamoDB takes no more in one GetRecords. */
const MAX_RECORDS = 1000;

/** An iterator and the position at which it stands. */
type Cursor = { readonly iterator: string; readonly at: Position };

export type DynamoDBStreamReaderOptions = {
  readonly client: DynamoDBStreamsClient;
  readonly streamArn: string;
  /** The Region that the records name; by default the one of the ARN. */
  readonly awsRegion?: string;
  /** Called when the server has dropped records that were not read yet; reading goes on after the gap. */
  readonly onDataLoss: (loss: DataLoss) => void;
};

/** A stream of a DynamoDB server. A poll that follows another costs one GetRecords. */
export class DynamoDBStreamReader implements StreamReader {
  readonly #options: DynamoDBStreamReaderOptions;
  readonly #awsRegion: string;
  readonly #cursors = new Map<string, Cursor>();

  constructor(options: DynamoDBStreamReaderOptions) {
    this.#options = options;
    this.#awsRegion = options.awsRegion ?? options.streamArn.split(':')[3] ?? '';
  }

  async listShards(): Promise<readonly Shard[]> {
    const { client, streamArn } = this.#options;
    const shards: Shard[] = [];
    let start: string | undefined;
    do {
      const { StreamDescription } = await client.send(
        new DescribeStreamCommand({ StreamArn: streamArn, ExclusiveStartShardId: start }),
      );
      for (const { ShardId, ParentShardId, SequenceNumberRange } of StreamDescription?.Shards ?? []) {
        if (ShardId === undefined) continue;
        const closed = SequenceNumberRange?.EndingSequenceNumber !== undefined;
        shards.push({
          id: ShardId,
          closed,
          ...(ParentShardId === undefined ? {} : { parentId: ParentShardId }),
        });
      }
      start = StreamDescription?.LastEvaluatedShardId;
    } while (start !== undefined);
    return shards;
  }

  async read(shardId: string, after: Position, limit: number): Promise<ShardRead> {
    try {
      return await this.#readOn(shardId, after, limit);
    } catch (error) {
      // Whatever went wrong, the next read starts from a fresh iterator at its own position.
      this.#cursors.delete(shardId);
      if (error instanceof ExpiredIteratorException) return this.#readOn(shardId, after, limit);
      if (error instanceof TrimmedDataAccessException && after !== TRIM_HORIZON) {
        this.#options.onDataLoss({ kind: 'trimmed', streamArn: this.#options.streamArn, shardId, after });
        return this.#readOn(shardId, after, limit, TRIM_HORIZON);
      }
      throw error;
    }
  }

  /** @param from where an iterator is made, if not at `after`: the caller's own position stays the same. */
  async #readOn(shardId: string, after: Position, limit: number, from = after): Promise<ShardRead> {
    const { client, streamArn } = this.#options;
    const cursor = this.#cursors.get(shardId);
    const iterator = cursor?.at === after ? cursor.iterator : await this.#iterator(shardId, from);
    const { Records, NextShardIterator } = await client.send(
      new GetRecordsCommand({ ShardIterator: iterator, Limit: Math.min(limit, MAX_RECORDS) }),
    );
    const records = (Records ?? []).map((record) => toStreamRecord(record, streamArn, this.#awsRegion));
    if (NextShardIterator === undefined) {
      this.#cursors.delete(shardId);
    } else {
      this.#cursors.set(shardId, {
        iterator: NextShardIterator,
        at: records.at(-1)?.dynamodb.SequenceNumber ?? after,
      });
    }
    return { records, closed: NextShardIterator === undefined };
  }

  async #iterator(shardId: string, after: Position): Promise<string | undefined> {
    const { ShardIterator } = await this.#options.client.send(
      new GetShardIteratorCommand({
        StreamArn: this.#options.streamArn,
        ShardId: shardId,
        ...(after === TRIM_HORIZON
          ? { ShardIteratorType: 'TRIM_HORIZON' }
          : { ShardIteratorType: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: after }),
      }),
    );
    return ShardIterator;
  }
}
