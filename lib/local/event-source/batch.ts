import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';

/** The settings of Lambda's event source mapping that shape its batches and retries. */
export type MappingPolicy = {
  readonly batchSize: number;
  /** How long to gather a batch that is not full; 0 sends what a read gives. */
  readonly batchWindowMs: number;
  /** Cap on the records of a batch by their size in the stream; a single record may exceed it. */
  readonly maxBatchBytes: number;
  /** Retries of a failing batch after its first try; -1: for ever. */
  readonly maximumRetryAttempts: number;
  /** Records older than this are given up; -1: never. */
  readonly maximumRecordAgeSeconds: number;
  readonly bisectBatchOnFunctionError: boolean;
  readonly reportBatchItemFailures: boolean;
  /** 0: no tumbling windows. */
  readonly tumblingWindowSeconds: number;
  readonly pollIntervalMs: number;
};

/** A batch, or what splits and partial failures left of one. */
export type Batch = {
  /** At least one. */
  readonly records: readonly StreamRecord[];
  /** Once these are settled, everything up to this sequence number is: records filtered out count too. */
  readonly through: string;
  /** Failed tries that count against the retry quota: one that led to a split does not. */
  readonly attempts: number;
  readonly invocations: number;
  readonly lastRequestId?: string;
  /** Not to be tried again before this time, Unix ms. */
  readonly notBeforeMs: number;
};

/** How many records, from the first, make one batch: by number, by size, and of one tumbling window. */
export function batchLength(records: readonly StreamRecord[], policy: MappingPolicy): number {
  const window = windowStartMs(records[0]!, policy);
  let bytes = 0;
  for (const [at, record] of records.entries()) {
    bytes += record.dynamodb.SizeBytes;
    const fits =
      at < policy.batchSize && bytes <= policy.maxBatchBytes && windowStartMs(record, policy) === window;
    if (!fits && at > 0) return at;
  }
  return records.length;
}

/** Start of the tumbling window that a record belongs to, Unix ms; 0 without windows. */
export function windowStartMs(record: StreamRecord, policy: MappingPolicy): number {
  const windowMs = policy.tumblingWindowSeconds * 1000;
  if (windowMs === 0) return 0;
  return Math.floor((record.dynamodb.ApproximateCreationDateTime * 1000) / windowMs) * windowMs;
}

/**
 * What is tried again, in this order, of a batch whose records before `done` are settled. With bisection, a
 * partial failure is itself the split; a batch that failed as a whole is split in two.
 */
export function partsToRetry(tried: Batch, done: number, policy: MappingPolicy): readonly Batch[] {
  const left = dropFirst(tried, done);
  if (!policy.bisectBatchOnFunctionError) return [{ ...left, attempts: left.attempts + 1 }];
  if (done > 0) return [left];
  if (left.records.length === 1) return [{ ...left, attempts: left.attempts + 1 }];
  const middle = Math.ceil(left.records.length / 2);
  return [takeFirst(left, middle), dropFirst(left, middle)];
}

export function isExhausted(batch: Batch, policy: MappingPolicy): boolean {
  return policy.maximumRetryAttempts >= 0 && batch.attempts > policy.maximumRetryAttempts;
}

/** How many records, from the first, are too old. */
export function staleCount(batch: Batch, policy: MappingPolicy, nowMs: number): number {
  if (policy.maximumRecordAgeSeconds < 0) return 0;
  const oldest = nowMs / 1000 - policy.maximumRecordAgeSeconds;
  const fresh = batch.records.findIndex((record) => record.dynamodb.ApproximateCreationDateTime >= oldest);
  return fresh < 0 ? batch.records.length : fresh;
}

export function takeFirst(batch: Batch, count: number): Batch {
  if (count >= batch.records.length) return batch;
  const records = batch.records.slice(0, count);
  return { ...batch, records, through: records.at(-1)!.dynamodb.SequenceNumber };
}

export function dropFirst(batch: Batch, count: number): Batch {
  return count === 0 ? batch : { ...batch, records: batch.records.slice(count) };
}
