import { z } from 'zod';
import type { SdkItem } from '#lib/aws/dynamo-failure.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';

/** Reads an item of a control table. Throws STORED_ITEM_INVALID, with the item's name, for whatever `read` throws. */
export function readStored<T>(item: Readonly<SdkItem>, read: (item: Readonly<SdkItem>) => T): T {
  try {
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
