import type { Item } from '#lib/domain/attribute-value.ts';
import type { ChangeKind } from '#lib/domain/change.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { SegmentWriter } from '#lib/domain/segment/write.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { heartbeatTime, isHeartbeat } from '#lib/engines/dynamodb/heartbeat.ts';
import { ItemEncoder } from '#lib/engines/dynamodb/item-encoder.ts';
import { itemSize, MAX_ITEM_BYTES, MAX_REPLICATED_BYTES, tooLarge } from '#lib/engines/dynamodb/item-size.ts';
import { originOf } from '#lib/engines/dynamodb/stamp.ts';
import { isExpiry, type StreamRecord, sequenceOf } from '#lib/engines/dynamodb/stream-record.ts';
import type { EncodedBatch } from '#lib/ports/capture-engine.ts';
import type { Reject } from '#lib/ports/rejects.ts';

const KINDS: ReadonlyMap<unknown, ChangeKind> = new Map([
  ['INSERT', 'insert'],
  ['MODIFY', 'update'],
  ['REMOVE', 'delete'],
]);

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
  const rejects: { index: number; reject: Reject }[] = [];
  let applied = 0;
  let sequence = '';
  let newest = 0;
  let newestBeat: number | undefined;

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
    const at = sequenceOf(record);
    // What is no number would be a mark that later records can't pass, or that covers them all.
    sequence = at ?? sequence;
    encoder.rewind();
    let key: Uint8Array | undefined;
    try {
      const kind = KINDS.get(record.eventName);
      if (kind === undefined || at === undefined || !change?.Keys) {
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
      if (!holdsKey(NewImage, source.key) || !holdsKey(OldImage, source.key)) {
        throw rejected('an image lacks the key');
      }
      if (originOf(key, OldImage, NewImage) === 'applied') {
        applied++;
        continue;
      }
      // SizeBytes counts keys and both images, so most records need no closer look.
      if (
        NewImage !== undefined &&
        (change.SizeBytes ?? MAX_ITEM_BYTES) > MAX_REPLICATED_BYTES &&
        itemSize(NewImage) > MAX_REPLICATED_BYTES
      ) {
        throw tooLarge();
      }
      const streamMs = Math.floor((change.ApproximateCreationDateTime ?? 0) * 1000);
      // A heartbeat is more exact than the stream's seconds, but never from later: lag would look smaller than it is.
      const said = heartbeatTime(NewImage);
      const beatMs = said !== undefined && isHeartbeat(Keys, source.key) ? said : undefined;
      const commitMs = Math.min(beatMs ?? streamMs, streamMs + 999);
      const keyBytes = key.length;
      const afterBytes = NewImage && encoder.item(NewImage);
      const beforeBytes =
        OldImage && (NewImage ? encoder.difference(OldImage, NewImage) : encoder.item(OldImage));
      writer.add({
        kind: isExpiry(record) ? 'expiry' : kind,
        table: 0,
        shard: 0,
        sequence: at,
        commitMs,
        body: encoder.written(),
        keyBytes,
        afterBytes,
        beforeBytes,
      });
      // By the stream's clock: a heartbeat's own time must not age the marks of other shards.
      if (streamMs > newest) newest = streamMs;
      if (beatMs !== undefined) newestBeat = Math.max(newestBeat ?? 0, commitMs);
    } catch (error) {
      const failure = isFailure(error) ? error : rejected('a part of it is of the wrong type', error);
      rejects.push({
        index,
        reject: {
          lane: source.lane,
          shard: source.shard,
          sequence,
          code: failure.code,
          reason: failure.message,
          ...(key === undefined ? {} : { key: Buffer.from(key).toString('base64') }),
        },
      });
    }
  }

  if (writer.count === 0) return { segment: undefined, applied, rejects };
  const written = writer.finish({ tables: [source.table], shards: [source.shard], schema: encoder.schema() });
  const { bytes, hash, count, rawBytes, minCommitMs, maxCommitMs } = written;
  const mark = { sequence, atMs: newest, ...(newestBeat !== undefined && { beatMs: newestBeat }) };
  const marks = { [source.shard]: mark };
  return {
    segment: { bytes, draft: { hash, count, bytes: rawBytes, minCommitMs, maxCommitMs, marks } },
    applied,
    rejects,
  };
}

/** An image without its key would be one that no follower can write. */
function holdsKey(image: Item | undefined, schema: KeySchema): boolean {
  return image === undefined || schema.every(({ name, type }) => type in (image[name] ?? {}));
}

function rejected(why: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'CAPTURE_RECORD_REJECTED',
    `a stream record cannot be logged: ${why}`,
    'Look at the record in the failure queue; compare the item at the leader with the followers.',
    { cause },
  );
}
