import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { encodeBatch } from '#lib/engines/dynamodb/encode-batch.ts';
import { type StreamRecord, sequenceOf } from '#lib/engines/dynamodb/stream-record.ts';
import type { CaptureEngine, EncodedBatch } from '#lib/ports/capture-engine.ts';

/** Captures a DynamoDB table from its stream's records. */
export class DynamoCapture implements CaptureEngine<StreamRecord> {
  readonly #source: { readonly group: GroupId; readonly table: string; readonly key: KeySchema };

  constructor(source: { readonly group: GroupId; readonly table: string; readonly key: KeySchema }) {
    this.#source = source;
  }

  sequenceOf(record: StreamRecord): string | undefined {
    return sequenceOf(record);
  }

  encode(lane: LaneId, shard: string, records: readonly StreamRecord[]): EncodedBatch {
    return encodeBatch({ ...this.#source, lane, shard }, records);
  }
}
