import { compareSequence } from '#lib/domain/marks.ts';
import {
  type Position,
  type Shard,
  type ShardRead,
  type StreamReader,
  TRIM_HORIZON,
} from '#lib/local/event-source/stream-reader.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';

type ShardData = { readonly parentId: string | undefined; closed: boolean; records: StreamRecord[] };

/** A stream in memory whose shards split and whose server can be down: the twin of DynamoDB's. */
export class MemoryStream implements StreamReader {
  readonly arn: string;
  readonly #shards = new Map<string, ShardData>();
  #sequence = 0n;
  #down = false;
  #reads = 0;

  constructor(arn = 'arn:aws:dynamodb:eu-west-1:000000000000:table/orders/stream/2026-01-01T00:00:00.000') {
    this.arn = arn;
  }

  get reads(): number {
    return this.#reads;
  }

  /** Opens a shard without a parent. */
  open(shardId: string): void {
    this.#shards.set(shardId, { parentId: undefined, closed: false, records: [] });
  }

  /** Writes a record for the key `pk`; returns its sequence number, which grows across all shards. */
  put(shardId: string, pk: string, atMs: number, sizeBytes = 100): string {
    const shard = this.#shard(shardId);
    if (shard.closed) throw new Error(`Shard ${shardId} is closed`);
    this.#sequence += 1n;
    const sequence = (100_000_000_000_000_000_000n + this.#sequence).toString();
    shard.records.push({
      eventID: sequence,
      eventName: 'INSERT',
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: 'eu-west-1',
      dynamodb: {
        ApproximateCreationDateTime: atMs / 1000,
        Keys: { pk: { S: pk } },
        NewImage: { pk: { S: pk } },
        SequenceNumber: sequence,
        SizeBytes: sizeBytes,
        StreamViewType: 'NEW_AND_OLD_IMAGES',
      },
      eventSourceARN: this.arn,
    });
    return sequence;
  }

  /** Closes the shard and opens its children. */
  split(shardId: string, ...children: string[]): void {
    this.close(shardId);
    for (const id of children) this.#shards.set(id, { parentId: shardId, closed: false, records: [] });
  }

  close(shardId: string): void {
    this.#shard(shardId).closed = true;
  }

  /** Drops a shard with all its records, as DynamoDB does after a day. */
  drop(shardId: string): void {
    this.#shards.delete(shardId);
  }

  /** While down, every call throws. */
  setDown(down: boolean): void {
    this.#down = down;
  }

  async listShards(): Promise<readonly Shard[]> {
    this.#check();
    return [...this.#shards].map(([id, { parentId, closed }]) => ({
      id,
      closed,
      ...(parentId === undefined ? {} : { parentId }),
    }));
  }

  async read(shardId: string, after: Position, limit: number): Promise<ShardRead> {
    this.#reads += 1;
    this.#check();
    const shard = this.#shard(shardId);
    const from =
      after === TRIM_HORIZON
        ? 0
        : shard.records.findIndex((record) => compareSequence(record.dynamodb.SequenceNumber, after) > 0);
    const records = from < 0 ? [] : shard.records.slice(from, from + limit);
    const end = from < 0 || from + records.length === shard.records.length;
    return { records, closed: shard.closed && end };
  }

  #check(): void {
    if (this.#down) throw new Error('The server is down');
  }

  #shard(shardId: string): ShardData {
    const shard = this.#shards.get(shardId);
    if (shard === undefined) throw new Error(`There is no shard ${shardId}`);
    return shard;
  }
}
