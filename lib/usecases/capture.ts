import { UnderstudyError } from '#lib/domain/errors.ts';
import type { LaneId, RegionId } from '#lib/domain/ids.ts';
import { type Head, place } from '#lib/domain/log.ts';
import { runAfter } from '#lib/domain/log-run.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import { isCaptured } from '#lib/domain/marks.ts';
import type { CaptureEngine, EncodedBatch } from '#lib/ports/capture-engine.ts';
import type { Control } from '#lib/ports/control.ts';
import type { Divergences } from '#lib/ports/divergences.ts';
import type { Rejects } from '#lib/ports/rejects.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

/** Races for the head that one batch may lose to other shards. */
const MAX_RACES = 64;

export type CaptureDeps<R> = {
  readonly region: RegionId;
  readonly engine: CaptureEngine<R>;
  readonly log: ReplicaLog;
  readonly control: Pick<Control, 'role'>;
  readonly divergences: Pick<Divergences, 'collect' | 'put'>;
  readonly rejects: Rejects;
  readonly telemetry: Telemetry;
};

/** `logged`: records of the batch that this call put in the log. `failedFrom`: where a retry must begin. */
export type Captured = {
  readonly logged: number;
  readonly failedFrom?: string;
  /** The head as last seen, for the next call. */
  readonly head?: Head;
};

/**
 * Puts the local changes of a batch of one shard into the log, once however often the batch is delivered: the
 * marks of the head that the append is conditional on say what is in already. A follower logs nothing.
 *
 * @param known the head as last seen: saves a read, and may be stale.
 *
 * Throws LOG_FENCED at a former leader: its changes can't be logged any more and must not be acknowledged.
 */
export async function capture<R>(
  deps: CaptureDeps<R>,
  lane: LaneId,
  shard: string,
  records: readonly R[],
  known?: Head,
): Promise<Captured> {
  const { engine, log, telemetry } = deps;
  const role = await deps.control.role();
  if (role.leader !== deps.region) {
    if (role.led !== undefined) return collect(deps, lane, shard, records, role.led);
    reportLocalWrites(telemetry, engine.encode(lane, shard, records));
    return { logged: 0 };
  }

  let head = known ?? (await log.head(lane));
  let fresh = uncaptured(engine, head, shard, records);
  const first = engine.encode(lane, shard, fresh);
  const failedFrom = await putRejects(deps, fresh, first);
  let encoded = first;
  if (failedFrom !== undefined) {
    // What can be logged is logged up to the reject that found no place; the retry begins with that one.
    fresh = fresh.slice(0, failedFrom.index);
    encoded = engine.encode(lane, shard, fresh);
  }
  const rest = failedFrom === undefined ? {} : { failedFrom: failedFrom.sequence };

  for (let races = 0; races < MAX_RACES; races++) {
    if (encoded.segment === undefined) return { logged: 0, head, ...rest };
    const { bytes, draft } = encoded.segment;
    const put = await log.putSegment(draft.hash, bytes, head);
    const entry = place(head, draft, role.epoch, put === 'small' ? bytes : undefined);
    const outcome = await log.append(lane, head, [entry], role.epoch);
    if (outcome.kind === 'appended') {
      const run = runAfter(lane, role.epoch, head.lastLsn, advance(head.lastLsn, draft.count));
      telemetry.event('captured', { ...run, segment: draft.hash, records: draft.count });
      return { logged: draft.count, head: outcome.head, ...rest };
    }
    if (outcome.kind === 'fenced') throw fenced(role.epoch, outcome.head);
    head = outcome.head;
    // The winner was another shard, or another delivery of this very batch.
    const left = uncaptured(engine, head, shard, fresh);
    if (left.length < fresh.length) {
      fresh = left;
      encoded = engine.encode(lane, shard, fresh);
    }
  }
  throw new UnderstudyError(
    'LOG_CONTENDED',
    `lane ${lane} moved ${MAX_RACES} times while one batch of shard ${shard} was being appended`,
    'The batch is tried again; if this goes on, give the group more lanes.',
  );
}

/** A former leader's changes that its log no longer takes are kept for the report of what diverged. */
async function collect<R>(
  deps: CaptureDeps<R>,
  lane: LaneId,
  shard: string,
  records: readonly R[],
  led: Epoch,
): Promise<Captured> {
  const { engine, log, divergences, telemetry } = deps;
  const fresh = uncaptured(engine, await log.head(lane), shard, records);
  const { segment } = engine.encode(lane, shard, fresh);
  if (segment === undefined) return { logged: 0 };
  await divergences.put(segment.draft.hash, segment.bytes);
  await divergences.collect(led, segment.draft);
  telemetry.event('collected', {
    lane,
    epoch: led,
    segment: segment.draft.hash,
    records: segment.draft.count,
  });
  return { logged: 0 };
}

function uncaptured<R>(
  engine: CaptureEngine<R>,
  head: Head,
  shard: string,
  records: readonly R[],
): readonly R[] {
  // In a shard they come in order.
  const first = records[0] && engine.sequenceOf(records[0]);
  if (first !== undefined && !isCaptured(head.marks, shard, first)) return records;
  return records.filter((record) => {
    const sequence = engine.sequenceOf(record);
    return sequence === undefined || !isCaptured(head.marks, shard, sequence);
  });
}

/** Sends rejects to the failure destination; the first that it does not take, if any. */
async function putRejects<R>(
  deps: CaptureDeps<R>,
  records: readonly R[],
  batch: EncodedBatch,
): Promise<{ index: number; sequence: string } | undefined> {
  let taken = 0;
  const count = () => {
    if (taken > 0) deps.telemetry.metrics({ RejectedRecords: taken });
  };
  for (const { index, reject } of batch.rejects) {
    try {
      await deps.rejects.put(reject);
    } catch (error) {
      count();
      deps.telemetry.event('reject-not-taken', { sequence: reject.sequence, why: String(error) });
      return { index, sequence: deps.engine.sequenceOf(records[index]!) ?? reject.sequence };
    }
    taken++;
    deps.telemetry.event('rejected', { lane: reject.lane, sequence: reject.sequence, code: reject.code });
  }
  count();
  return undefined;
}

/** Somebody wrote to a follower: the leader's next write of that item will overwrite it. */
function reportLocalWrites(telemetry: Telemetry, batch: EncodedBatch): void {
  const local = batch.segment?.draft.count ?? 0;
  if (local > 0) telemetry.metrics({ LocalWritesAtFollower: local });
}

function fenced(epoch: Epoch, head: Head): UnderstudyError {
  return new UnderstudyError(
    'LOG_FENCED',
    `epoch ${epoch} may append no more: the log is sealed at epoch ${head.sealedEpoch}`,
    'Let this Region come back as a follower; its table holds changes that no other Region has.',
  );
}
