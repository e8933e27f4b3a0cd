import {
  type CancellationReason,
  ConditionalCheckFailedException,
  type AttributeValue as SdkValue,
  TransactionCanceledException,
} from '@aws-sdk/client-dynamodb';

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
  return codes.some((code) => code === 'TransactionConflict' || code === 'ThrottlingError');
}
