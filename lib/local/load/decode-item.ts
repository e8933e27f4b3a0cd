import type { Item } from '#lib/domain/attribute-value.ts';
import { itemSize, MAX_ITEM_BYTES } from '#lib/engines/dynamodb/item-size.ts';
import { STAMP_ATTRIBUTE, STAMP_COST } from '#lib/engines/dynamodb/stamp.ts';
import { fromDynamoJson, fromPlainJson } from '#lib/local/load/attribute-json.ts';
import { isJsonObject, type JsonObject, parseExact } from '#lib/local/load/json-object.ts';
import { malformed, unreadable } from '#lib/local/load/refusals.ts';

/** `dynamodb-json`: `{"Item":{…}}` with typed values, as a table export writes it. `json`: any object. */
export type LoadFormat = 'dynamodb-json' | 'json';
export type DecodedItem = { readonly format: LoadFormat; readonly item: Item };

const MAX_NAME_BYTES = 65_535;
const INCREMENTAL: ReadonlySet<string> = new Set(['Metadata', 'Keys', 'NewImage', 'OldImage']);

/**
 * The item on a line, with all that DynamoDB asks of it but its key. The reserved attribute is left out: an
 * export of a follower carries it. Throws LOAD_LINE_MALFORMED or ITEM_TOO_LARGE, which name `place`;
 * LOAD_FILE_UNREADABLE if the line shows that the whole file is of another kind.
 */
export function decodeItem(text: string, place: string): DecodedItem {
  const json = parseLine(text, place);
  if (Array.isArray(json)) {
    throw malformed(place, 'it is an array', "Put one object on each line: jq -c '.[]' does.");
  }
  if (!isJsonObject(json)) {
    throw malformed(place, 'it is not an object', 'Put one item on each line.');
  }
  refuseIncremental(json, place);
  const format = isExportLine(json) ? 'dynamodb-json' : 'json';
  const item = isExportLine(json)
    ? attributes(json.Item, place, fromDynamoJson)
    : attributes(json, place, fromPlainJson);
  const size = itemSize(item) + STAMP_COST;
  if (size > MAX_ITEM_BYTES) {
    throw malformed(
      place,
      `the item has ${size} bytes with the reserved attribute, and DynamoDB keeps ${MAX_ITEM_BYTES}`,
      'Make it smaller.',
      'ITEM_TOO_LARGE',
    );
  }
  return { format, item };
}

function isExportLine(json: unknown): json is { readonly Item: JsonObject } {
  const names = isJsonObject(json) ? Object.keys(json) : [];
  return isJsonObject(json) && names.length === 1 && names[0] === 'Item' && isJsonObject(json.Item);
}

/** Changes of a time span, deletes among them: not a state that could be loaded. */
function refuseIncremental(json: JsonObject, place: string): void {
  const isChange =
    isJsonObject(json.Keys) &&
    isJsonObject(json.Metadata) &&
    Object.hasOwn(json.Metadata, 'WriteTimestampMicros') &&
    Object.keys(json).every((name) => INCREMENTAL.has(name));
  if (isChange) {
    throw unreadable(
      place,
      'is a change of an incremental export',
      'Export the table again as a full export (FULL_EXPORT).',
    );
  }
}

function attributes(json: JsonObject, place: string, value: typeof fromPlainJson): Item {
  const members = Object.entries(json).map(([name, each]) => {
    checkName(name, place);
    return [name, value(each, `${place}, attribute ${name}`)] as const;
  });
  const stamp = members.find(([name]) => name === STAMP_ATTRIBUTE)?.[1];
  if (stamp === undefined) return Object.fromEntries(members);
  if (!('B' in stamp)) {
    throw malformed(
      place,
      `${STAMP_ATTRIBUTE} is the reserved attribute`,
      'Give the attribute another name.',
    );
  }
  return Object.fromEntries(members.filter(([name]) => name !== STAMP_ATTRIBUTE));
}

function checkName(name: string, place: string): void {
  if (name === '') throw malformed(place, 'an attribute has an empty name');
  if (!name.isWellFormed()) throw malformed(place, 'an attribute name has half of a surrogate pair');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw malformed(place, 'an attribute name is over 64 KB');
}

/** Numbers of DynamoDB JSON are strings, so that an export line need not be read in the exact, slower way. */
function parseLine(text: string, place: string): unknown {
  try {
    const json: unknown = JSON.parse(text);
    return isExportLine(json) || Array.isArray(json) ? json : parseExact(text);
  } catch (error) {
    if (error instanceof RangeError) throw malformed(place, 'it nests too deep');
    if (!(error instanceof SyntaxError)) throw error;
    throw malformed(place, `it is not JSON: ${reason(error.message)}`, layoutHint(text));
  }
}

/** An object or array that is laid out over several lines begins with a line of its own. */
function layoutHint(text: string): string | undefined {
  return /^[{[]\s*$/.test(text.trimStart()) ? 'Put each item on one line: jq -c . does.' : undefined;
}

/** The parser's message with its column, where it has one, and without the piece of the line that it may quote. */
function reason(message: string): string {
  const column = /\(line \d+ column (\d+)\)$/.exec(message)?.[1];
  const [what = message] = message.split(/ in JSON at position |, ("|\.\.\.)/);
  return column === undefined ? what : `${what} (column ${column})`;
}
