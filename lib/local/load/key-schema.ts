import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { KeyAttribute, KeySchema, KeyType } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { malformed, shown } from '#lib/local/load/refusals.ts';

/** Longest partition key and sort key, bytes. */
const MAX_KEY_BYTES = [2048, 1024] as const;
const MAX_NAME_BYTES = 255;
const KEY_TYPES: readonly KeyType[] = ['S', 'N', 'B'];

/** Names of the key attributes: partition key, then sort key if there is one. */
export type KeyNames = readonly [string] | readonly [string, string];

/** Checks the names given to --key. Throws CONFIG_INVALID. */
export function parseKeyNames(names: readonly string[]): KeyNames {
  const [partition, sort, ...more] = names;
  const wrong = (what: string) =>
    new UnderstudyError(
      'CONFIG_INVALID',
      `--key ${what}`,
      'Name the partition key and, if there is one, the sort key: --key pk,sk.',
    );
  if (partition === undefined || more.length > 0) throw wrong(`names ${names.length} attributes`);
  if (names.some((name) => name === '')) throw wrong('has an empty name');
  if (partition === sort) throw wrong(`names ${shown(partition)} twice`);
  if (names.includes(STAMP_ATTRIBUTE)) throw wrong(`names the reserved attribute ${STAMP_ATTRIBUTE}`);
  if (names.some((name) => Buffer.byteLength(name) > MAX_NAME_BYTES)) {
    throw wrong(`has a name of more than ${MAX_NAME_BYTES} bytes`);
  }
  return sort === undefined ? [partition] : [partition, sort];
}

/** The types that an item gives to the key attributes. Throws LOAD_KEY_MISSING if it does not have them all. */
export function keySchemaOf(item: Item, [partition, sort]: KeyNames, place: string): KeySchema {
  const first = keyAttribute(item, partition, place);
  return sort === undefined ? [first] : [first, keyAttribute(item, sort, place)];
}

function keyAttribute(item: Item, name: string, place: string): KeyAttribute {
  const value = ownValue(item, name, place);
  const type = keyTypeOf(value);
  if (type === undefined)
    throw keyMissing(
      place,
      `the key attribute ${shown(name)} is ${describe(value)}, not S, N or B`,
      unwrappedHint(value),
    );
  return { name, type };
}

/** Checks an item's key against the schema. Throws LOAD_KEY_MISSING, or LOAD_LINE_MALFORMED for a key of bad size. */
export function checkKey(item: Item, key: KeySchema, place: string): void {
  for (const [index, { name, type }] of key.entries()) {
    const value = ownValue(item, name, place);
    if (!(type in value)) {
      throw keyMissing(
        place,
        `the key attribute ${shown(name)} is ${describe(value)}, and the first item made it ${type}`,
        unwrappedHint(value),
      );
    }
    const bytes = 'S' in value ? Buffer.byteLength(value.S) : 'B' in value ? value.B.length : 1;
    if (bytes === 0) throw malformed(place, `the key attribute ${shown(name)} is empty`);
    const most = MAX_KEY_BYTES[index]!;
    if (bytes > most) {
      throw malformed(
        place,
        `the key attribute ${shown(name)} has ${bytes} bytes, and DynamoDB takes ${most}`,
      );
    }
  }
}

/** The type of a value that could be a key. */
export function keyTypeOf(value: AttributeValue): KeyType | undefined {
  return KEY_TYPES.find((type) => type in value);
}

function ownValue(item: Item, name: string, place: string): AttributeValue {
  if (!Object.hasOwn(item, name)) throw keyMissing(place, `the key attribute ${shown(name)} is not there`);
  return item[name]!;
}

function keyMissing(place: string, what: string, next?: string): UnderstudyError {
  return malformed(place, what, next, 'LOAD_KEY_MISSING');
}

function describe(value: AttributeValue): string {
  return Object.keys(value)[0]!;
}

/** What `aws dynamodb scan` prints has typed values but no wrapper: as plain JSON, its keys are maps. */
export function unwrappedHint(value: AttributeValue): string | undefined {
  const names = 'M' in value ? Object.keys(value.M) : [];
  return names.length === 1 && KEY_TYPES.some((type) => type === names[0])
    ? 'DynamoDB JSON needs a wrapper on each line, {"Item":{…}}: jq -c \'{Item:.}\' adds it.'
    : undefined;
}
