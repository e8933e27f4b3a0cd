import type { Invocation } from '#lib/local/event-source/function-invoker.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';

/** What an invocation did to its batch. */
export type BatchOutcome =
  /** `state` is what the function keeps for its tumbling window. */
  | { readonly kind: 'success'; readonly state?: unknown }
  /** The records before index `from` are done, the others are not; 0: none is. */
  | { readonly kind: 'failure'; readonly from: number; readonly state?: unknown };

type Rules = { readonly reportBatchItemFailures: boolean; readonly tumblingWindowSeconds: number };

const WHOLE_BATCH: BatchOutcome = { kind: 'failure', from: 0 };

/** Reads a function's answer by Lambda's rules for streams. */
export function batchOutcome(
  invocation: Invocation,
  records: readonly StreamRecord[],
  rules: Rules,
): BatchOutcome {
  if (invocation.kind !== 'returned') return WHOLE_BATCH;
  const { result } = invocation;
  const answer = typeof result === 'object' && result !== null ? (result as Record<string, unknown>) : {};
  const windowed = rules.tumblingWindowSeconds > 0;
  if (windowed && answer.state === undefined) return WHOLE_BATCH;
  const state = windowed ? { state: answer.state } : {};
  const failures = rules.reportBatchItemFailures ? (answer.batchItemFailures ?? []) : [];
  if (!Array.isArray(failures)) return WHOLE_BATCH;
  if (failures.length === 0) return { kind: 'success', ...state };
  const from = Math.min(...failures.map((failure) => indexOf(records, failure)));
  return from > 0 ? { kind: 'failure', from, ...state } : WHOLE_BATCH;
}

/** Index of the record that a reported failure names; 0, for the whole batch, if it names none. */
function indexOf(records: readonly StreamRecord[], failure: unknown): number {
  const identifier = (failure as { itemIdentifier?: unknown } | null)?.itemIdentifier;
  return Math.max(
    0,
    records.findIndex((record) => record.dynamodb.SequenceNumber === identifier),
  );
}
