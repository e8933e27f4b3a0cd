import type { Item } from '#lib/domain/attribute-value.ts';
import type { UnderstudyError } from '#lib/domain/errors.ts';
import { keyUnknown } from '#lib/local/load/key-candidates.ts';
import { parseKeyNames } from '#lib/local/load/key-schema.ts';
import { scanItems } from '#lib/local/load/scan-items.ts';

/** One line that is not blank. In a folder, `line` counts within its file, which the error names. */
export type LoadLine =
  | { readonly kind: 'item'; readonly line: number; readonly item: Item }
  | { readonly kind: 'malformed'; readonly line: number; readonly error: UnderstudyError };

/**
 * Streams a load file line by line with bounded memory: a full table export in DynamoDB JSON or plain JSON
 * lines, plain or gzip (by its first bytes), or the folder of an export. The first good item settles the format
 * and the types of the key. Throws LOAD_FILE_UNREADABLE, LOAD_KEY_MISSING without a key, CONFIG_INVALID.
 *
 * @param options.key names from --key: partition key, then sort key if there is one.
 */
export async function* readLoadFile(
  path: string,
  options: { readonly key?: readonly string[] | undefined },
): AsyncGenerator<LoadLine, void, undefined> {
  if (options.key === undefined) throw await keyUnknown(path, `nothing says what the key of ${path} is`);
  yield* scanItems(path, parseKeyNames(options.key));
}
