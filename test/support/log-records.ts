import type { Item } from '#lib/domain/attribute-value.ts';
import type { ChangeKind } from '#lib/domain/change.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { allEntries } from './log-history.ts';

export type LoggedRecord = {
  readonly lsn: bigint;
  readonly epoch: number;
  readonly kind: ChangeKind;
  readonly shard: string;
  readonly sequence: string;
  readonly key: Item;
  readonly after: Item | undefined;
};

/** Every record of a log that the DynamoDB engine wrote, in order. */
export async function loggedRecords(log: ReplicaLog, schema: KeySchema): Promise<readonly LoggedRecord[]> {
  const records: LoggedRecord[] = [];
  for (const entry of await allEntries(log, LANE_0)) {
    const { first, epoch } = entry;
    const segment = openSegment(await log.getSegment(entry));
    const decoder = new ItemDecoder(segment.info.schema);
    segment.forEach(({ kind, shard, sequence, key, after }, ordinal) => {
      records.push({
        lsn: first + BigInt(ordinal),
        epoch,
        kind,
        shard: segment.info.shards[shard]!,
        sequence,
        key: decoder.key(key, schema),
        after: after && decoder.item(after),
      });
    });
  }
  return records;
}
