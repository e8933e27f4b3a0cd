import type { Item } from '#lib/domain/attribute-value.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { KeyType } from '#lib/domain/topology.ts';
import { decodeItem } from '#lib/local/load/decode-item.ts';
import { keyTypeOf, unwrappedHint } from '#lib/local/load/key-schema.ts';
import { shown } from '#lib/local/load/refusals.ts';
import { scanText } from '#lib/local/load/scan-items.ts';

/** Items looked at for candidates, lines until they are given up, and candidates that a message names. */
const SAMPLE = 100;
const MAX_LINES = 1000;
const MAX_NAMED = 10;

/**
 * The error for a file whose key is not known, with the attributes that could be one. A key is never guessed: a
 * wrong guess would lay items on top of one another. Throws LOAD_FILE_UNREADABLE if there is no file to look at.
 */
export async function keyUnknown(path: string, what: string): Promise<UnderstudyError> {
  const items = await sample(path);
  const names = candidates(items).slice(0, MAX_NAMED).map(shown);
  const hint =
    names.length > 0
      ? undefined
      : Object.values(items[0] ?? {})
          .map(unwrappedHint)
          .find(Boolean);
  const found =
    items.length === 0
      ? 'none of its first lines is an item'
      : names.length === 0
        ? 'no attribute of type S, N or B is in all of its first items'
        : `all of the first ${items.length} items have ${names.join(', ')}`;
  return new UnderstudyError(
    'LOAD_KEY_MISSING',
    `${what}; ${found}`,
    hint ?? `Name the partition key and, if there is one, the sort key: --key ${names[0] ?? 'pk,sk'}.`,
  );
}

async function sample(path: string): Promise<readonly Item[]> {
  const items: Item[] = [];
  let lines = 0;
  for await (const at of scanText(path)) {
    lines += 1;
    if (at.kind === 'text') items.push(...itemOn(at.text, at.place));
    if (items.length === SAMPLE || lines === MAX_LINES) break;
  }
  return items;
}

function itemOn(text: string, place: string): readonly Item[] {
  try {
    return [decodeItem(text, place).item];
  } catch (error) {
    if (isFailure(error) && error.code !== 'LOAD_FILE_UNREADABLE') return [];
    throw error;
  }
}

/** Attributes that all items have with one type that a key can have, in the order of the first item. */
function candidates([first = {}, ...others]: readonly Item[]): readonly string[] {
  const typeIn = (item: Item, name: string): KeyType | undefined =>
    Object.hasOwn(item, name) ? keyTypeOf(item[name]!) : undefined;
  return Object.keys(first).filter((name) => {
    const type = typeIn(first, name);
    return type !== undefined && others.every((item) => typeIn(item, name) === type);
  });
}
