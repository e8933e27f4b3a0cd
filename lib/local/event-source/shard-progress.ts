import {
  type Batch,
  batchLength,
  dropFirst,
  isExhausted,
  type MappingPolicy,
  partsToRetry,
  staleCount,
  takeFirst,
  windowStartMs,
} from '#lib/local/event-source/batch.ts';
import type { BatchOutcome } from '#lib/local/event-source/batch-outcome.ts';
import type { Position, ShardRead } from '#lib/local/event-source/stream-reader.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { backoffMs } from '#lib/local/event-source/timer.ts';

/** Everything that is known of a shard's processing. */
export type ShardProgress = {
  /** Where the next read begins. */
  readonly position: Position;
  readonly closed: boolean;
  /** Records read but not in a batch yet, and since when the oldest of them waits. */
  readonly inbox: readonly StreamRecord[];
  readonly inboxSinceMs: number;
  /** The batch in work, in parts, oldest first: nothing else is sent before it is settled. */
  readonly work: readonly Batch[];
  readonly settled: Position;
  readonly saved: Position;
  /** Failures in a row of a read, a save or the failure destination. */
  readonly failures: number;
  readonly retryAtMs: number;
  readonly emptyReads: number;
  readonly pollAtMs: number;
  /** What the function keeps for the tumbling window that it was last invoked for. */
  readonly window?: { readonly startMs: number; readonly state: unknown };
};

export type GiveUpReason = 'RetryAttemptsExhausted' | 'RecordAgeExceeded';

/** What to do next in a shard. */
export type Action =
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'read'; readonly after: Position; readonly limit: number }
  | { readonly kind: 'invoke'; readonly batch: Batch }
  /** Tell the failure destination, then move on. */
  | { readonly kind: 'give-up'; readonly batch: Batch; readonly reason: GiveUpReason }
  | { readonly kind: 'save'; readonly sequence: string }
  /** Closed, and everything is settled. */
  | { readonly kind: 'finish' };

/** Most that DynamoDB gives in one read. */
const MAX_READ = 1000;
/** An idle shard is polled at this multiple of the interval, */
const IDLE_FACTOR = 4;
/** once that many reads in a row found nothing: a short silence, as while leadership is handed over, is not idleness. */
const IDLE_READS = 10;

/** A shard whose records up to `from` are settled. */
export function beginShard(from: Position): ShardProgress {
  return {
    position: from,
    closed: false,
    inbox: [],
    inboxSinceMs: 0,
    work: [],
    settled: from,
    saved: from,
    failures: 0,
    retryAtMs: 0,
    emptyReads: 0,
    pollAtMs: 0,
  };
}

/** The next thing to do, and the progress to do it from. */
export function nextAction(
  before: ShardProgress,
  policy: MappingPolicy,
  nowMs: number,
): readonly [ShardProgress, Action] {
  if (nowMs < before.retryAtMs) return [before, { kind: 'wait', ms: before.retryAtMs - nowMs }];
  const progress = gather(before, policy, nowMs);
  if (progress.settled !== progress.saved) return [progress, { kind: 'save', sequence: progress.settled }];
  const [batch] = progress.work;
  if (batch !== undefined) return [progress, actionFor(batch, policy, nowMs)];
  if (progress.closed) return [progress, { kind: 'finish' }];
  if (nowMs >= progress.pollAtMs) {
    const limit = Math.min(MAX_READ, Math.max(1, policy.batchSize - progress.inbox.length));
    return [progress, { kind: 'read', after: progress.position, limit }];
  }
  const windowEnd = progress.inbox.length > 0 ? progress.inboxSinceMs + policy.batchWindowMs : Infinity;
  return [progress, { kind: 'wait', ms: Math.min(progress.pollAtMs, windowEnd) - nowMs }];
}

function actionFor(batch: Batch, policy: MappingPolicy, nowMs: number): Action {
  const stale = staleCount(batch, policy, nowMs);
  if (stale > 0) return { kind: 'give-up', batch: takeFirst(batch, stale), reason: 'RecordAgeExceeded' };
  if (isExhausted(batch, policy)) return { kind: 'give-up', batch, reason: 'RetryAttemptsExhausted' };
  if (nowMs < batch.notBeforeMs) return { kind: 'wait', ms: batch.notBeforeMs - nowMs };
  return { kind: 'invoke', batch };
}

/** Moves what is due from the inbox to work; settles what the filter left nothing of. */
function gather(progress: ShardProgress, policy: MappingPolicy, nowMs: number): ShardProgress {
  const { inbox, position } = progress;
  if (progress.work.length > 0) return progress;
  if (inbox.length === 0)
    return progress.settled === position ? progress : { ...progress, settled: position };
  const count = batchLength(inbox, policy);
  const due =
    count < inbox.length ||
    count >= policy.batchSize ||
    progress.closed ||
    nowMs >= progress.inboxSinceMs + policy.batchWindowMs;
  if (!due) return progress;
  const whole: Batch = { records: inbox, through: position, attempts: 0, invocations: 0, notBeforeMs: 0 };
  return { ...progress, inbox: inbox.slice(count), work: [takeFirst(whole, count)] };
}

/** After a read; `filter` says which of its records the function wants. */
export function afterRead(
  progress: ShardProgress,
  policy: MappingPolicy,
  read: ShardRead,
  limit: number,
  nowMs: number,
  filter: (record: StreamRecord) => boolean,
): ShardProgress {
  const last = read.records.at(-1);
  const emptyReads = last === undefined ? progress.emptyReads + 1 : 0;
  const pause = policy.pollIntervalMs * (emptyReads < IDLE_READS ? 1 : IDLE_FACTOR);
  return {
    ...progress,
    position: last?.dynamodb.SequenceNumber ?? progress.position,
    closed: progress.closed || read.closed,
    inbox: last === undefined ? progress.inbox : [...progress.inbox, ...read.records.filter(filter)],
    inboxSinceMs: progress.inbox.length > 0 ? progress.inboxSinceMs : nowMs,
    failures: 0,
    emptyReads,
    // A full read says that there is more.
    pollAtMs: read.records.length >= limit ? nowMs : nowMs + pause,
  };
}

/** After an invocation for the batch at the head of the work. */
export function afterInvocation(
  progress: ShardProgress,
  policy: MappingPolicy,
  outcome: BatchOutcome,
  requestId: string,
  nowMs: number,
  random: number,
): ShardProgress {
  const [batch, ...rest] = progress.work;
  if (batch === undefined) return progress;
  const window =
    outcome.state === undefined
      ? {}
      : { window: { startMs: windowStartMs(batch.records[0]!, policy), state: outcome.state } };
  if (outcome.kind === 'success') return { ...progress, ...window, work: rest, settled: batch.through };
  const { from } = outcome;
  const invocations = batch.invocations + 1;
  const notBeforeMs = nowMs + backoffMs(from > 0 ? 1 : invocations, random);
  const tried: Batch = { ...batch, invocations, lastRequestId: requestId, notBeforeMs };
  return {
    ...progress,
    ...window,
    work: [...partsToRetry(tried, from, policy), ...rest],
    settled: from > 0 ? takeFirst(batch, from).through : progress.settled,
  };
}

/** After the failure destination has taken the first `count` records of the work. */
export function afterGiveUp(progress: ShardProgress, count: number): ShardProgress {
  const [batch, ...rest] = progress.work;
  if (batch === undefined) return progress;
  const left = dropFirst(batch, count);
  return {
    ...progress,
    work: left.records.length > 0 ? [left, ...rest] : rest,
    settled: takeFirst(batch, count).through,
    failures: 0,
  };
}

export function afterSave(progress: ShardProgress, sequence: string): ShardProgress {
  return { ...progress, saved: sequence, failures: 0 };
}

/** After a read, a save or the failure destination failed: the same action comes again, later. */
export function afterError(progress: ShardProgress, nowMs: number, random: number): ShardProgress {
  const failures = progress.failures + 1;
  return { ...progress, failures, retryAtMs: nowMs + backoffMs(failures, random) };
}

/** The shard can't be read any more: what was read of it is still worked off. */
export function afterLoss(progress: ShardProgress): ShardProgress {
  return { ...progress, closed: true };
}

/** As if the poll interval were over. */
export function pollNow(progress: ShardProgress): ShardProgress {
  return { ...progress, emptyReads: 0, pollAtMs: 0 };
}
