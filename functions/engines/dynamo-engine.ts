import { setTimeout as sleepFor } from 'node:timers/promises';
import { AwsChangeStream } from '#lib/aws/aws-change-stream.ts';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { lambdaProbe } from '#lib/aws/lambda-probe.ts';
import { TableFence } from '#lib/aws/table-fence.ts';
import { tryWrite } from '#lib/aws/try-write.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { DynamoEngineConfig, GroupConfig } from '#lib/domain/topology.ts';
import { DynamoCapture } from '#lib/engines/dynamodb/dynamo-capture.ts';
import { DynamoDigest } from '#lib/engines/dynamodb/dynamo-digest.ts';
import { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { DynamoRewinder } from '#lib/engines/dynamodb/dynamo-rewinder.ts';
import { heartbeatItem, MAX_HEARTBEATS } from '#lib/engines/dynamodb/heartbeat.ts';
import type { ChangeStream } from '#lib/ports/change-stream.ts';
import type { DigestSource } from '#lib/ports/digest-source.ts';
import type { Rewinder } from '#lib/ports/divergences.ts';
import type { Changes, Engine } from '#lib/ports/engine.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';

/** For a group that names nobody who may write while a fence is up: there is none, and the report says so. */
const NO_FENCE: EngineFence = {
  raise: async () => ({ proven: false, detail: 'no fence of the engine is configured' }),
  lower: async () => 'open',
};

/** Roles that may write while a fence is up, and the function that tries a write as nobody's. */
export type TableFenceConfig = { readonly exempt: readonly string[]; readonly probe?: string };

/** DynamoDB tables. */
export class DynamoEngine implements Engine {
  readonly changes: Changes;
  readonly #config: DynamoEngineConfig;
  readonly #peers: AwsPeers;
  readonly #fence: TableFenceConfig | undefined;

  constructor(
    { group, engine }: GroupConfig<DynamoEngineConfig>,
    peers: AwsPeers,
    fence: TableFenceConfig | undefined,
  ) {
    this.#config = engine;
    this.#peers = peers;
    this.#fence = fence;
    this.changes = {
      kind: 'delivered',
      engine: new DynamoCapture({ group, ...engine }),
      streamArn: (at) => peers.store(at).checkFitness(),
    };
  }

  replica(at: RegionId, leader: RegionId): DynamoReplica {
    return new DynamoReplica({
      store: this.#peers.store(at),
      leader: this.#peers.store(leader),
      control: this.#peers.control(at),
      key: this.#config.key,
    });
  }

  rewinder(at: RegionId, leader: RegionId): Rewinder {
    return new DynamoRewinder({ key: this.#config.key, replica: this.replica(at, leader) });
  }

  fence(at: RegionId): EngineFence {
    if (this.#fence === undefined) return NO_FENCE;
    const { exempt, probe } = this.#fence;
    const { key, table } = this.#config;
    const { applicationDynamodb, dynamodb, lambda } = this.#peers.clients(at);
    const tried =
      applicationDynamodb !== undefined
        ? () => tryWrite(applicationDynamodb, table, key)
        : lambda !== undefined && probe !== undefined
          ? lambdaProbe(lambda, probe)
          : undefined;
    return new TableFence({
      dynamodb,
      table,
      exempt,
      ...(tried && { probe: tried }),
      sleep: (ms) => sleepFor(ms),
    });
  }

  stream(at: RegionId): ChangeStream {
    const { dynamodb, streams } = this.#peers.clients(at);
    const { key, table } = this.#config;
    return new AwsChangeStream({
      dynamodb,
      streams,
      region: at,
      table,
      streamArn: () => this.#peers.store(at).checkFitness(),
      heartbeat: (atMs, nth) => heartbeatItem(key, atMs, nth),
      maxBeats: MAX_HEARTBEATS,
    });
  }

  digest(at: RegionId): DigestSource {
    return new DynamoDigest({ store: this.#peers.store(at), key: this.#config.key });
  }

  async beat(at: RegionId, atMs: number): Promise<undefined> {
    // An item like any other: through the table, its stream and the log.
    await this.#peers.store(at).put(heartbeatItem(this.#config.key, atMs));
  }

  async makeReady(): Promise<void> {}

  async checkFitness(at: RegionId): Promise<void> {
    await this.#peers.store(at).checkFitness();
  }

  async close(): Promise<void> {}
}
