import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import { keyUnknown } from '#lib/local/load/key-candidates.ts';
import { parseKeyNames } from '#lib/local/load/key-schema.ts';
import type { LoadLine } from '#lib/local/load/read-load-file.ts';
import { unreadable, whatOf } from '#lib/local/load/refusals.ts';
import { type LoadShape, type ScannedLine, scanItems } from '#lib/local/load/scan-items.ts';

type MalformedLine = Omit<Extract<LoadLine, { kind: 'malformed' }>, 'kind'>;

/** What a load file holds, known before anything is loaded. */
export type LoadPlan = LoadShape & {
  readonly items: number;
  /** The first MAX_LISTED. */
  readonly malformed: readonly MalformedLine[];
  readonly malformedCount: number;
};

const MAX_LISTED = 20;

/**
 * Reads the whole load file once: what cannot be read ends here, before anything is loaded. Throws
 * LOAD_FILE_UNREADABLE (also if it holds nothing), LOAD_KEY_MISSING if no key is given or no item has it,
 * CONFIG_INVALID, and LOAD_LINE_MALFORMED if no line is an item or, with `strict`, if any is not.
 */
export async function planLoad(
  path: string,
  options: { readonly key?: readonly string[] | undefined; readonly strict: boolean },
): Promise<LoadPlan> {
  if (options.key === undefined) throw await keyUnknown(path, `nothing says what the key of ${path} is`);
  const names = parseKeyNames(options.key);
  let shape: LoadShape | undefined;
  let items = 0;
  let malformedCount = 0;
  let keyless = 0;
  const listed: Extract<ScannedLine, { kind: 'malformed' }>[] = [];
  for await (const each of scanItems(path, names)) {
    if (each.kind === 'item') {
      shape ??= each.shape;
      items += 1;
    } else {
      malformedCount += 1;
      if (isFailure(each.error, 'LOAD_KEY_MISSING')) keyless += 1;
      if (listed.length < MAX_LISTED) listed.push(each);
    }
  }
  const [first] = listed;
  if (first !== undefined && (shape === undefined || options.strict)) {
    if (shape === undefined && keyless === malformedCount) {
      throw await keyUnknown(
        path,
        `no item of ${path} has the key ${names.join(', ')} (${whatOf(first.error)})`,
      );
    }
    throw refused(path, listed, { items, malformed: malformedCount });
  }
  if (shape === undefined) {
    throw unreadable(path, 'holds no items', 'Give a file with one item on each line.');
  }
  const malformed = listed.map(({ line, error }) => ({ line, error }));
  return { format: shape.format, key: shape.key, items, malformed, malformedCount };
}

function refused(
  path: string,
  listed: readonly { readonly place: string; readonly error: UnderstudyError }[],
  count: { readonly items: number; readonly malformed: number },
): UnderstudyError {
  const first = listed[0]!.error;
  const places = listed.map(({ place }) => place).join(', ') + (count.malformed > listed.length ? ', …' : '');
  return new UnderstudyError(
    'LOAD_LINE_MALFORMED',
    `${count.malformed} of ${count.items + count.malformed} lines of ${path} are not items: ${places}. First, ${whatOf(first)}`,
    count.items === 0
      ? first.next
      : `${first.next} Nothing was loaded; without --strict the other lines are.`,
    { cause: first },
  );
}
