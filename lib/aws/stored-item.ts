import {
  type DynamoDBClient,
  UpdateItemCommand,
  type UpdateItemCommandInput,
} from '@aws-sdk/client-dynamodb';
import * as z from 'zod';
import { conditional, type SdkItem } from '#lib/aws/dynamo-failure.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';

/*
 * Items of a control table are of version 1 as long as they have no `v`. A release adds attributes without a new version
 * where an older one may ignore them, and keep them: so an item is updated, never put. See ADR 35.
 */

/** Part of the condition of every write that does not rest on what was read: an item of a later version is left alone. */
export const KNOWN_VERSION = 'attribute_not_exists(v)';

/** Reads an item of a control table. Throws STORED_ITEM_INVALID, with the item's name, for whatever `read` throws. */
export function readStored<T>(item: Readonly<SdkItem>, read: (item: Readonly<SdkItem>) => T): T {
  try {
    if (item.v !== undefined) throw new Error(`it is of version ${item.v.N}, and this release knows 1`);
    return read(item);
  } catch (cause) {
    const why = cause instanceof z.ZodError ? z.prettifyError(cause) : String(cause);
    throw new UnderstudyError(
      'STORED_ITEM_INVALID',
      `item ${item.id?.S} of the control table is not as this release writes it: ${why}`,
      'Deploy the release that wrote it, or a newer one; never edit items of the control table by hand.',
      { cause },
    );
  }
}

/** An update without another condition. Throws STORED_ITEM_INVALID for an item of a later version, and leaves it alone. */
export async function updateStored(
  dynamodb: DynamoDBClient,
  update: UpdateItemCommandInput,
): Promise<SdkItem | undefined> {
  const command = new UpdateItemCommand({
    ...update,
    ConditionExpression: KNOWN_VERSION,
    ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
  });
  const outcome = await conditional(() => dynamodb.send(command));
  return outcome.kind === 'done'
    ? outcome.result.Attributes
    : readStored(outcome.item ?? {}, () => undefined);
}
