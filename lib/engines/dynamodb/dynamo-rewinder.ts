import type { Item } from '#lib/domain/attribute-value.ts';
import type { DivergentItem } from '#lib/domain/control/divergence.ts';
import { type Entry, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import type { DynamoReplica } from '#lib/engines/dynamodb/dynamo-replica.ts';
import { isHeartbeat } from '#lib/engines/dynamodb/heartbeat.ts';
import { ItemDecoder } from '#lib/engines/dynamodb/item-decoder.ts';
import type { ApplyLease } from '#lib/ports/control.ts';
import type { Rewinder } from '#lib/ports/divergences.ts';

/** Takes a DynamoDB table back by the images of its changes. */
export class DynamoRewinder implements Rewinder {
  readonly #key: KeySchema;
  readonly #replica: Pick<DynamoReplica, 'restore'>;

  constructor(deps: { key: KeySchema; replica: Pick<DynamoReplica, 'restore'> }) {
    this.#key = deps.key;
    this.#replica = deps.replica;
  }

  read(bytes: Uint8Array, entry?: Entry): readonly DivergentItem[] {
    const segment = openSegment(bytes);
    const decoder = new ItemDecoder(segment.info.schema);
    const changes: DivergentItem[] = [];
    segment.forEach((record, ordinal) => {
      const key = decoder.key(record.key, this.#key);
      if (isHeartbeat(key, this.#key)) return;
      const after = record.after && decoder.item(record.after);
      const before = record.before && decoder.before(record.before, after);
      changes.push({
        kind: record.kind,
        key,
        keyBytes: Buffer.from(record.key),
        ...(before && { before }),
        ...(after && { after }),
        commitMs: record.commitMs,
        shard: segment.info.shards[record.shard]!,
        sequence: record.sequence,
        ...(entry &&
          lastOf(entry) >= entry.first + BigInt(ordinal) && { lsn: advance(entry.first, ordinal) }),
      });
    });
    return changes;
  }

  async rewind(
    lease: ApplyLease,
    changes: readonly DivergentItem[],
    at: { readonly epoch: Epoch; readonly lsn: Lsn },
  ): Promise<'done' | 'lost'> {
    const rows = new Map<string, { key: Item; keyBytes: Uint8Array; item: Item | undefined }>();
    for (const { key, keyBytes, before } of changes) {
      const name = Buffer.from(keyBytes).toString('latin1');
      if (!rows.has(name)) rows.set(name, { key, keyBytes, item: before });
    }
    return this.#replica.restore(lease, [...rows.values()], at);
  }
}
