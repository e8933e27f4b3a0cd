import { setTimeout } from 'node:timers/promises';
import {
  type CancellationReason,
  ConditionalCheckFailedException,
  type AttributeValue as SdkValue,
  TransactionCanceledException,
} from '@aws-sdk/client-dynamodb';

/** Reasons for which the same transaction may succeed a little later. */
const PASSING = new Set(['TransactionConflict', 'ThrottlingError', 'ProvisionedThroughputExceeded']);
/** Longest pause between two tries, ms. */
const MAX_PAUSE_MS = 500;

export type SdkItem = Record<string, SdkValue>;

/** Outcome of a conditional write: done, or the item that stood in the way (absent if there was none). */
export type Conditional<T> =
  | { readonly kind: 'done'; readonly result: T }
  | { readonly kind: 'refused'; readonly item: SdkItem | undefined };

/** Runs a write whose condition may fail; a failed condition is an outcome, all else is thrown. */
export async function conditional<T>(write: () => Promise<T>): Promise<Conditional<T>> {
  try {
    return { kind: 'done', result: await write() };
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return { kind: 'refused', item: error.Item };
    throw error;
  }
}

/** Runs a transaction; reasons by item if a condition failed. A conflict with another transaction is thrown. */
export async function transactional(
  write: () => Promise<unknown>,
): Promise<readonly CancellationReason[] | undefined> {
  try {
    await write();
    return undefined;
  } catch (error) {
    if (!(error instanceof TransactionCanceledException)) throw error;
    const reasons = error.CancellationReasons ?? [];
    if (!reasons.some(({ Code }) => Code === 'ConditionalCheckFailed')) throw error;
    return reasons;
  }
}

/** True where the same transaction may succeed if it is sent again a little later. */
export function isContention(error: unknown): boolean {
  if (!(error instanceof TransactionCanceledException)) return false;
  const codes = (error.CancellationReasons ?? []).map(({ Code }) => Code);
  return codes.some((code) => code !== undefined && PASSING.has(code));
}

/** Sits out a conflict: a random time, longer at most with each try, so that the rivals don't meet again. */
export async function sitOut(tries: number): Promise<void> {
  await setTimeout(Math.random() * Math.min(MAX_PAUSE_MS, 10 * 2 ** tries));
}
