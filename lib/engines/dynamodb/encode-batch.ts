import type { ChangeKind } from '#lib/domain/change.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { SegmentWriter } from '#lib/domain/segment/write.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { heartbeatKey, heartbeatTime } from '#lib/engines/dynamodb/heartbeat.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-codec.ts';
import { itemSize, MAX_ITEM_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { originOf, STAMP_COST } from '#lib/engines/dynamodb/stamp.ts';
import { isExpiry, type StreamRecord } from '#lib/engines/dynamodb/stream-record.ts';
import type { EncodedBatch } from '#lib/ports/capture-engine.ts';
import type { Reject } from '#lib/ports/rejects.ts';

const KINDS: Readonly<Record<string, ChangeKind>> = { INSERT: 'insert', MODIFY: 'update', REMOVE: 'delete' };

/**
 * Turns stream records into a segment. A record that is not as DynamoDB writes them is a reject and stops
 * nothing; a stream of the wrong view type is a failure of all (STREAM_VIEW_TYPE).
 */
export function encodeBatch(
  source: { group: GroupId; lane: LaneId; table: string; key: KeySchema; shard: string },
  records: readonly StreamRecord[],
): EncodedBatch {
  const writer = new SegmentWriter(source.group);
  const encoder = new ItemEncoder();
  const heartbeat = Buffer.from(new ItemEncoder().key(heartbeatKey(source.key), source.key));
  const rejects: { index: number; reject: Reject }[] = [];
  let applied = 0;
  let sequence = '';
  let newest = 0;

  for (let index = 0; index < records.length; index++) {
    const record = records[index]!;
    const change = record.dynamodb;
    if (change?.StreamViewType !== undefined && change.StreamViewType !== 'NEW_AND_OLD_IMAGES') {
      throw new UnderstudyError(
        'STREAM_VIEW_TYPE',
        `the stream of table ${source.table} carries ${change.StreamViewType}`,
        'Switch the stream off and on again with NEW_AND_OLD_IMAGES, then let the followers take a new snapshot.',
      );
    }
    sequence = change?.SequenceNumber ?? sequence;
    encoder.rewind();
    let key: Uint8Array | undefined;
    try {
      const kind = KINDS[record.eventName ?? ''];
      if (kind === undefined || change?.Keys === undefined || change.SequenceNumber === undefined) {
        throw rejected('it has no event name, keys or sequence number');
      }
      const { Keys, NewImage, OldImage } = change;
      if (
        (kind === 'delete') !== (NewImage === undefined) ||
        (kind === 'insert') !== (OldImage === undefined)
      ) {
        throw rejected('its images do not fit its event name');
      }
      key = encoder.key(Keys, source.key);
      if (originOf(key, OldImage, NewImage) === 'applied') {
        applied++;
        continue;
      }
      // SizeBytes counts keys and both images, so most records need no closer look.
      if (
        NewImage !== undefined &&
        (change.SizeBytes ?? MAX_ITEM_BYTES) > MAX_ITEM_BYTES - STAMP_COST &&
        itemSize(NewImage) > MAX_ITEM_BYTES - STAMP_COST
      ) {
        throw new UnderstudyError(
          'ITEM_TOO_LARGE',
          `the item leaves less than ${STAMP_COST} of DynamoDB's ${MAX_ITEM_BYTES} bytes for the reserved attribute`,
          'Make the item smaller and write it again; until then followers keep its former state.',
        );
      }
      let commitMs = Math.floor((change.ApproximateCreationDateTime ?? 0) * 1000);
      if (heartbeat.equals(key)) commitMs = heartbeatTime(NewImage) ?? commitMs;
      writer.add({
        kind: isExpiry(record) ? 'expiry' : kind,
        table: 0,
        shard: 0,
        sequence: change.SequenceNumber,
        commitMs,
        key,
        after: NewImage && encoder.item(NewImage),
        before: OldImage && (NewImage ? encoder.difference(OldImage, NewImage) : encoder.item(OldImage)),
      });
      if (commitMs > newest) newest = commitMs;
    } catch (error) {
      if (!isFailure(error)) throw error;
      rejects.push({
        index,
        reject: {
          lane: source.lane,
          shard: source.shard,
          sequence,
          code: error.code,
          reason: error.message,
          ...(key === undefined ? {} : { key: Buffer.from(key).toString('base64') }),
        },
      });
    }
  }

  if (writer.count === 0) return { segment: undefined, applied, rejects };
  const written = writer.finish({ tables: [source.table], shards: [source.shard], schema: encoder.schema() });
  const { bytes, hash, count, rawBytes, minCommitMs, maxCommitMs } = written;
  const marks = { [source.shard]: { sequence, atMs: newest } };
  return {
    segment: { bytes, draft: { hash, count, bytes: rawBytes, minCommitMs, maxCommitMs, marks } },
    applied,
    rejects,
  };
}

function rejected(why: string): UnderstudyError {
  return new UnderstudyError(
    'CAPTURE_RECORD_REJECTED',
    `a stream record cannot be logged: ${why}`,
    'Look at the record in the failure queue; compare the item at the leader with the followers.',
  );
}
