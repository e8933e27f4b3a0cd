import { isUtf8 } from 'node:buffer';
import type { Item } from '#lib/domain/attribute-value.ts';
import { isFailure, type UnderstudyError } from '#lib/domain/errors.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { isHeartbeat } from '#lib/engines/dynamodb/heartbeat.ts';
import { type DecodedItem, decodeItem, type LoadFormat } from '#lib/local/load/decode-item.ts';
import { checkKey, type KeyNames, keySchemaOf } from '#lib/local/load/key-schema.ts';
import { loadSources } from '#lib/local/load/load-source.ts';
import { MAX_LINE_BYTES, type RawLine, readLines } from '#lib/local/load/read-lines.ts';
import { malformed } from '#lib/local/load/refusals.ts';

/** What the first good item settles for all others. */
export type LoadShape = { readonly format: LoadFormat; readonly key: KeySchema };

/** A line that is not blank, and where it is, for messages: `line 3` or `file.json line 3`. */
export type PlacedLine = { readonly line: number; readonly place: string } & (
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'malformed'; readonly error: UnderstudyError }
);

export type ScannedLine = { readonly line: number; readonly place: string } & (
  | { readonly kind: 'item'; readonly item: Item; readonly shape: LoadShape }
  | { readonly kind: 'malformed'; readonly error: UnderstudyError }
);

/** Streams the items of a load file or folder. Throws LOAD_FILE_UNREADABLE. */
export async function* scanItems(
  path: string,
  names: KeyNames,
): AsyncGenerator<ScannedLine, void, undefined> {
  let known: LoadShape | undefined;
  for await (const at of scanText(path)) {
    const { line, place } = at;
    if (at.kind === 'malformed') {
      yield at;
      continue;
    }
    try {
      const decoded = decodeItem(at.text, place);
      const shape = known ?? shapeOf(decoded, names, place);
      checkFormat(decoded.format, shape.format, place);
      checkKey(decoded.item, shape.key, place);
      known ??= shape;
      // That of the cloud that the export came from is no data: this one has its own.
      if (!isHeartbeat(decoded.item, shape.key))
        yield { kind: 'item', line, place, item: decoded.item, shape: known };
    } catch (error) {
      if (!isFailure(error) || error.code === 'LOAD_FILE_UNREADABLE') throw error;
      yield { kind: 'malformed', line, place, error };
    }
  }
}

/** Streams the lines of a load file or folder that are not blank. */
export async function* scanText(path: string): AsyncGenerator<PlacedLine, void, undefined> {
  for (const source of await loadSources(path)) {
    for await (const lines of readLines(source.path)) {
      for (const line of lines) {
        const placed = placedLine(line, `${source.label}line ${line.number}`);
        if (placed !== undefined) yield placed;
      }
    }
  }
}

function placedLine({ number, bytes }: RawLine, place: string): PlacedLine | undefined {
  const problem = (what: string): PlacedLine => ({
    kind: 'malformed',
    line: number,
    place,
    error: malformed(place, what),
  });
  if (bytes === undefined)
    return problem(`it is longer than ${MAX_LINE_BYTES >> 20} MiB, which no item needs`);
  if (!isUtf8(bytes)) return problem('it is not UTF-8');
  const text = bytes.toString('utf8');
  return text.trim() === '' ? undefined : { kind: 'text', line: number, place, text };
}

function shapeOf({ format, item }: DecodedItem, names: KeyNames, place: string): LoadShape {
  return { format, key: keySchemaOf(item, names, place) };
}

function checkFormat(found: LoadFormat, expected: LoadFormat, place: string): void {
  if (found === expected) return;
  throw malformed(
    place,
    found === 'json'
      ? 'it is not {"Item":{…}} as the first item was'
      : 'it is {"Item":{…}}, and the first item was plain JSON',
    'Keep the two formats in files of their own.',
  );
}
