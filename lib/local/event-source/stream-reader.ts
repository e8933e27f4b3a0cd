import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';

/** Where a read begins: after the record with this sequence number, or with the oldest one that is there. */
export type Position = string;
export const TRIM_HORIZON: Position = 'TRIM_HORIZON';

export type Shard = {
  readonly id: string;
  readonly parentId?: string;
  /** As the listing has it; some servers say so of open shards too. `read` is the authority. */
  readonly closed: boolean;
};

export type ShardRead = {
  readonly records: readonly StreamRecord[];
  /** No record will ever follow these. */
  readonly closed: boolean;
};

/** A DynamoDB stream. Both methods throw while the server can't be reached. */
export interface StreamReader {
  /** Every shard that is still there, closed ones too. */
  listShards(): Promise<readonly Shard[]>;
  /** Up to `limit` records in order; none is no sign of the end. */
  read(shardId: string, after: Position, limit: number): Promise<ShardRead>;
}

/** Records that the stream dropped before they were read. */
export type DataLoss = {
  readonly kind: 'trimmed' | 'shard-gone';
  readonly streamArn: string;
  readonly shardId: string;
  /** The last position that was read: what is lost lies after it. */
  readonly after: Position;
};
