import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { KeySchema, KeyType } from '#lib/domain/topology.ts';

/**
 * The heartbeat is an item of the replicated table, so that it takes the very way that users' changes take.
 * Its key is one that no application would choose.
 */
const RESERVED: Readonly<Record<KeyType, AttributeValue>> = {
  S: { S: '_understudy.heartbeat' },
  N: { N: '-99999999999999999999999999999999999999' },
  B: { B: new TextEncoder().encode('_understudy.heartbeat') },
};

export function heartbeatKey(schema: KeySchema): Item {
  return Object.fromEntries(schema.map(({ name, type }) => [name, RESERVED[type]]));
}

const TIME = '_understudyHeartbeatMs';

/** The heartbeat of a moment, Unix ms. */
export function heartbeatItem(schema: KeySchema, atMs: number): Item {
  return { ...heartbeatKey(schema), [TIME]: { N: String(atMs) } };
}

/** The moment that a heartbeat's image bears, more exact than the whole seconds of the stream. */
export function heartbeatTime(image: Item | undefined): number | undefined {
  const at = image?.[TIME];
  const ms = at !== undefined && 'N' in at ? Number(at.N) : Number.NaN;
  return Number.isFinite(ms) ? ms : undefined;
}
