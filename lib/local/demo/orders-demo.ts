import { DynamoDBStreamsClient } from '@aws-sdk/client-dynamodb-streams';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { DynamoEngineConfig } from '#lib/domain/topology.ts';
import type { DemoStore } from '#lib/local/demo/demo-store.ts';
import { LagProbe } from '#lib/local/demo/lag-probe.ts';
import { commitTo, Workload, WRITTEN_AT, type Write } from '#lib/local/demo/workload.ts';
import { DynamoDBStreamReader } from '#lib/local/event-source/dynamodb-stream-reader.ts';
import { type StreamReader, TRIM_HORIZON } from '#lib/local/event-source/stream-reader.ts';
import { streamArnOf } from '#lib/local/provision.ts';

const BATCH = 1000;

/** A shop's orders in DynamoDB tables. */
export class OrdersDemo implements DemoStore {
  readonly load: (write: Write) => Promise<unknown>;
  readonly #peers: AwsPeers;
  readonly #table: string;
  readonly #workload: Workload;

  constructor(peers: AwsPeers, leader: RegionId, { key, table }: DynamoEngineConfig) {
    this.#peers = peers;
    this.#table = table;
    this.#workload = new Workload(key, Math.random);
    this.load = commitTo(peers.clients(leader).dynamodb, table);
  }

  write(): Promise<unknown> {
    return this.load(this.#workload.next(Date.now()));
  }

  async probe(region: RegionId): Promise<LagProbe> {
    const { dynamodb } = this.#peers.clients(region);
    const { endpoint, credentials } = dynamodb.config;
    const client = new DynamoDBStreamsClient({ region, credentials, ...(endpoint && { endpoint }) });
    const streamArn = await streamArnOf(dynamodb, this.#table);
    return new LagProbe(arrivals(new DynamoDBStreamReader({ client, streamArn, onDataLoss: () => {} })));
  }

  torn(): readonly string[] {
    return [];
  }

  async close(): Promise<void> {}
}

/** Times of the writes that a table's stream has brought since the last call. */
function arrivals(reader: StreamReader): () => Promise<readonly number[]> {
  let after = TRIM_HORIZON;
  let shard: string | undefined;
  return async () => {
    shard ??= (await reader.listShards())[0]?.id;
    if (shard === undefined) return [];
    const { records } = await reader.read(shard, after, BATCH);
    after = records.at(-1)?.dynamodb.SequenceNumber ?? after;
    return records.flatMap(({ dynamodb }) => {
      const at = dynamodb.NewImage?.[WRITTEN_AT]?.N;
      // The mark that goes before an applied delete leaves the time of the item's last write as it was.
      const isWrite = at !== undefined && at !== dynamodb.OldImage?.[WRITTEN_AT]?.N;
      return isWrite ? [Number(at)] : [];
    });
  };
}
