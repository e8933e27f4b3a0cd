import type { AttributeValue } from '#lib/domain/attribute-value.ts';
import { isJsonObject, mapMembers, numberText } from '#lib/local/load/json-object.ts';
import { checkNumber } from '#lib/local/load/number-text.ts';
import { malformed, shown } from '#lib/local/load/refusals.ts';

/** Values on the way from an attribute down to its deepest one, both counted. */
const MAX_LEVELS = 32;
const TYPES = 'Types are S, N, B, BOOL, NULL, SS, NS, BS, L and M, as in {"S":"text"} or {"N":"1.5"}.';

/** The value that DynamoDB JSON such as `{"N":"1"}` stands for. Throws LOAD_LINE_MALFORMED. */
export function fromDynamoJson(json: unknown, place: string, level = 1): AttributeValue {
  checkLevel(level, place);
  const members = isJsonObject(json) ? Object.entries(json) : [];
  const [type, value] = members[0] ?? [];
  if (type === undefined || members.length > 1) {
    throw malformed(place, 'a value is one object with one type', TYPES);
  }
  switch (type) {
    case 'S':
      return { S: text(value, place) };
    case 'N':
      return { N: number(value, place) };
    case 'B':
      return { B: binary(value, place) };
    case 'BOOL':
      if (typeof value !== 'boolean') throw malformed(place, 'a BOOL is true or false');
      return { BOOL: value };
    case 'NULL':
      if (value !== true) throw malformed(place, 'a NULL is true');
      return { NULL: true };
    case 'SS':
      return { SS: set(value, place, text, (each) => each) };
    case 'NS':
      return { NS: set(value, place, number, valueOfNumber) };
    case 'BS':
      return { BS: set(value, place, binary, (each) => each.toString('base64')) };
    case 'L':
      if (!Array.isArray(value)) throw malformed(place, 'an L is an array');
      return { L: value.map((each, index) => fromDynamoJson(each, `${place}[${index}]`, level + 1)) };
    case 'M':
      if (!isJsonObject(value)) throw malformed(place, 'an M is an object');
      return { M: mapMembers(value, (each, name) => fromDynamoJson(each, member(place, name), level + 1)) };
    default:
      throw malformed(place, `${JSON.stringify(shown(type))} is not a DynamoDB type`, TYPES);
  }
}

/** The value that plain JSON, read by `parseExact`, stands for. Throws LOAD_LINE_MALFORMED. */
export function fromPlainJson(json: unknown, place: string, level = 1): AttributeValue {
  checkLevel(level, place);
  if (typeof json === 'string') return { S: text(json, place) };
  if (typeof json === 'boolean') return { BOOL: json };
  if (json === null) return { NULL: true };
  const digits = numberText(json);
  if (digits !== undefined) return { N: number(digits, place) };
  if (Array.isArray(json)) {
    return { L: json.map((each, index) => fromPlainJson(each, `${place}[${index}]`, level + 1)) };
  }
  if (!isJsonObject(json)) throw malformed(place, 'a value is not JSON');
  return { M: mapMembers(json, (each, name) => fromPlainJson(each, member(place, name), level + 1)) };
}

function checkLevel(level: number, place: string): void {
  if (level > MAX_LEVELS)
    throw malformed(place, `values nest deeper than the ${MAX_LEVELS} levels of DynamoDB`);
}

function member(place: string, name: string): string {
  return `${place}.${checkedText(name, place)}`;
}

function text(value: unknown, place: string): string {
  if (typeof value !== 'string') throw malformed(place, 'a string is expected');
  return checkedText(value, place);
}

/** Half of a surrogate pair has no UTF-8: it would be stored as something else. */
function checkedText(value: string, place: string): string {
  if (!value.isWellFormed())
    throw malformed(place, 'the text has half of a surrogate pair, which UTF-8 cannot hold');
  return value;
}

function number(value: unknown, place: string): string {
  if (typeof value !== 'string')
    throw malformed(place, 'a number of DynamoDB JSON is a string, as in {"N":"1.5"}');
  const checked = checkNumber(value);
  if (checked.kind === 'refused') {
    throw malformed(
      place,
      `${JSON.stringify(shown(value))} ${checked.why}`,
      'Round it, or make it a string.',
    );
  }
  return value;
}

/** The number itself, whatever its spelling: DynamoDB takes 1 and 1.0 for the same member of a set. */
function valueOfNumber(digits: string): string {
  const checked = checkNumber(digits);
  return checked.kind === 'number' ? checked.value : digits;
}

function binary(value: unknown, place: string): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'base64') : undefined;
  // The decoder skips what it does not know; encoding again shows it.
  if (bytes === undefined || bytes.toString('base64') !== value) {
    throw malformed(place, 'binary is base64 with its padding');
  }
  return bytes;
}

function set<T>(
  value: unknown,
  place: string,
  parse: (each: unknown, place: string) => T,
  identity: (each: T) => string,
): readonly T[] {
  if (!Array.isArray(value) || value.length === 0)
    throw malformed(place, 'a set is an array with at least one member');
  const members = value.map((each, index) => parse(each, `${place}[${index}]`));
  if (new Set(members.map(identity)).size < members.length)
    throw malformed(place, 'a set has the same member twice');
  return members;
}
