import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { KeySchema, KeyType } from '#lib/domain/topology.ts';

const NAME = '_understudy.heartbeat';
/** What all heartbeats' numbers begin with; the last four of 38 digits count them, from the lowest up. */
const NUMBER = '-9999999999999999999999999999999999';

/** Heartbeats that a table may have, each under a key of its own. */
export const MAX_HEARTBEATS = 1_024;

/**
 * The heartbeat is an item of the replicated table, so that it takes the very way that users' changes take.
 * Its key is one that no application would choose. Which shard of the stream it comes in depends on the partition key:
 * the `nth` after the first are for tables whose stream has several.
 */
export function heartbeatKey(schema: KeySchema, nth = 0): Item {
  return Object.fromEntries(
    schema.map(({ name, type }, index) => [name, reserved(type, index === 0 ? nth : 0)]),
  );
}

function reserved(type: KeyType, nth: number): AttributeValue {
  if (type === 'N') return { N: `${NUMBER}${9_999 - nth}` };
  const text = nth === 0 ? NAME : `${NAME}.${nth}`;
  return type === 'S' ? { S: text } : { B: new TextEncoder().encode(text) };
}

/** True for an item, or its key, that is a heartbeat by its partition key. */
export function isHeartbeat(item: Item, [{ name }]: KeySchema): boolean {
  const value = item[name];
  if (value === undefined) return false;
  if ('N' in value) return value.N.length === NUMBER.length + 4 && value.N.startsWith(NUMBER);
  if ('S' in value) return isName(value.S);
  if (!('B' in value)) return false;
  // As text where it comes out of a Lambda event.
  const bytes = typeof value.B === 'string' ? Buffer.from(value.B, 'base64') : Buffer.from(value.B);
  return isName(bytes.toString('latin1'));
}

function isName(text: string): boolean {
  return text.startsWith(NAME) && /^(\.[1-9]\d{0,3})?$/.test(text.slice(NAME.length));
}

const TIME = '_understudyHeartbeatMs';

/** The heartbeat of a moment, Unix ms. */
export function heartbeatItem(schema: KeySchema, atMs: number, nth = 0): Item {
  return { ...heartbeatKey(schema, nth), [TIME]: { N: String(atMs) } };
}

/** The moment that a heartbeat's image bears, more exact than the whole seconds of the stream. */
export function heartbeatTime(image: Item | undefined): number | undefined {
  const at = image?.[TIME];
  const ms = at !== undefined && 'N' in at ? Number(at.N) : Number.NaN;
  return Number.isFinite(ms) ? ms : undefined;
}
