import { type Batch, type MappingPolicy, windowStartMs } from '#lib/local/event-source/batch.ts';
import type { GiveUpReason, ShardProgress } from '#lib/local/event-source/shard-progress.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';

/** The event of one invocation. The fields below `Records` are there with tumbling windows only. */
export type StreamEvent = {
  Records: StreamRecord[];
  window?: { start: string; end: string };
  state?: unknown;
  shardId?: string;
  eventSourceARN?: string;
  isFinalInvokeForWindow?: boolean;
  isWindowTerminatedEarly?: boolean;
};

/** What the failure destination is told of records that were given up: where they are, not what they hold. */
export type FailureInfo = {
  readonly requestContext: {
    readonly requestId: string;
    readonly functionArn: string;
    readonly condition: GiveUpReason;
    readonly approximateInvokeCount: number;
  };
  /** Absent if the function was never invoked for them. */
  readonly responseContext?: {
    readonly statusCode: 200;
    readonly executedVersion: '$LATEST';
    readonly functionError: 'Unhandled';
  };
  readonly version: '1.0';
  readonly timestamp: string;
  readonly DDBStreamBatchInfo: {
    readonly shardId: string;
    readonly startSequenceNumber: string;
    readonly endSequenceNumber: string;
    readonly approximateArrivalOfFirstRecord: string;
    readonly approximateArrivalOfLastRecord: string;
    readonly batchSize: number;
    readonly streamArn: string;
  };
};

/**
 * The event for a batch. A tumbling window's state lives in memory only, and no final invocation closes a
 * window: it is here for the shard id, which Lambda gives to windowed functions alone.
 */
export function streamEvent(
  batch: Batch,
  progress: ShardProgress,
  policy: MappingPolicy,
  shardId: string,
  streamArn: string,
): StreamEvent {
  const Records = [...batch.records];
  if (policy.tumblingWindowSeconds === 0) return { Records };
  const startMs = windowStartMs(batch.records[0]!, policy);
  return {
    Records,
    window: { start: toSeconds(startMs), end: toSeconds(startMs + policy.tumblingWindowSeconds * 1000) },
    state: progress.window?.startMs === startMs ? progress.window.state : {},
    shardId,
    eventSourceARN: streamArn,
    isFinalInvokeForWindow: false,
    isWindowTerminatedEarly: false,
  };
}

/** The document that Lambda sends to an on-failure destination. */
export function failureInfo(
  batch: Batch,
  condition: GiveUpReason,
  source: { readonly shardId: string; readonly streamArn: string; readonly functionArn: string },
  nowMs: number,
): FailureInfo {
  const first = batch.records[0]!.dynamodb;
  const last = batch.records.at(-1)!.dynamodb;
  return {
    requestContext: {
      requestId: batch.lastRequestId ?? '',
      functionArn: source.functionArn,
      condition,
      approximateInvokeCount: batch.invocations,
    },
    ...(batch.invocations === 0
      ? {}
      : { responseContext: { statusCode: 200, executedVersion: '$LATEST', functionError: 'Unhandled' } }),
    version: '1.0',
    timestamp: new Date(nowMs).toISOString(),
    DDBStreamBatchInfo: {
      shardId: source.shardId,
      startSequenceNumber: first.SequenceNumber,
      endSequenceNumber: last.SequenceNumber,
      approximateArrivalOfFirstRecord: toSeconds(first.ApproximateCreationDateTime * 1000),
      approximateArrivalOfLastRecord: toSeconds(last.ApproximateCreationDateTime * 1000),
      batchSize: batch.records.length,
      streamArn: source.streamArn,
    },
  };
}

/** ISO 8601 to the second, as Lambda writes it. */
function toSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
