import { createHash } from 'node:crypto';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { KeySchema } from '#lib/domain/topology.ts';
import { isHeartbeat } from '#lib/engines/dynamodb/heartbeat.ts';
import type { BucketDigest, DigestSource } from '#lib/ports/digest-source.ts';
import type { ItemStore } from '#lib/ports/item-store.ts';

const BUCKETS = 256;

/** Digests of a DynamoDB table: of its items without the reserved attribute, and without the heartbeat. */
export class DynamoDigest implements DigestSource {
  readonly #store: ItemStore;
  readonly #key: KeySchema;

  constructor(deps: { store: ItemStore; key: KeySchema }) {
    this.#store = deps.store;
    this.#key = deps.key;
  }

  async buckets(): Promise<readonly BucketDigest[]> {
    const rows = new Array<number>(BUCKETS).fill(0);
    const sums = Array.from({ length: BUCKETS }, () => Buffer.alloc(32));
    await this.#each((key, item) => {
      const bucket = bucketOf(key);
      const digest = digestOf(item);
      const sum = sums[bucket]!;
      // Rows come in any order, so their digests are folded by an operation that knows no order.
      for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! ^ digest[i]!;
      rows[bucket]!++;
    });
    return sums.map((sum, bucket) => ({ rows: rows[bucket]!, digest: sum.toString('hex') }));
  }

  async rows(buckets: ReadonlySet<number>): Promise<ReadonlyMap<string, string>> {
    const digests = new Map<string, string>();
    await this.#each((key, item) => {
      if (buckets.has(bucketOf(key))) digests.set(key, digestOf(item).toString('hex'));
    });
    return digests;
  }

  async recheck(keys: readonly string[]): Promise<ReadonlyMap<string, string | undefined>> {
    const digests = new Map<string, string | undefined>();
    for (const key of keys) {
      const item = await this.#store.get(readKeyText(key));
      digests.set(key, item && digestOf(item).toString('hex'));
    }
    return digests;
  }

  async #each(visit: (key: string, item: Item) => void): Promise<void> {
    let cursor: string | undefined;
    do {
      const page = await this.#store.scan(cursor);
      for (const { item } of page.rows) {
        if (!isHeartbeat(item, this.#key)) visit(keyText(item, this.#key), item);
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
  }
}

/** SHA-256 of an item in a form that has one spelling: names and sets in order, binary as base64. */
export function digestOf(item: Item): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(canonicalItem(item)))
    .digest();
}

function canonicalItem(item: Item): unknown[] {
  return Object.keys(item)
    .sort()
    .map((name) => [name, canonical(item[name]!)]);
}

function canonical(value: AttributeValue): unknown {
  if ('M' in value) return { M: canonicalItem(value.M) };
  if ('L' in value) return { L: value.L.map(canonical) };
  if ('B' in value) return { B: base64(value.B) };
  if ('SS' in value) return { SS: [...value.SS].sort() };
  if ('NS' in value) return { NS: [...value.NS].sort() };
  if ('BS' in value) return { BS: value.BS.map(base64).sort() };
  return value;
}

/** A key as JSON in DynamoDB's types, as a person would write it for the AWS CLI. */
function keyText(item: Item, schema: KeySchema): string {
  return JSON.stringify(
    Object.fromEntries(
      schema.map(({ name }) => {
        const value = item[name]!;
        return [name, 'B' in value ? { B: base64(value.B) } : value];
      }),
    ),
  );
}

function readKeyText(text: string): Item {
  const key = JSON.parse(text) as Record<string, { B?: string }>;
  return Object.fromEntries(
    Object.entries(key).map(([name, value]) => [
      name,
      value.B === undefined ? value : { B: new Uint8Array(Buffer.from(value.B, 'base64')) },
    ]),
  ) as Item;
}

function bucketOf(key: string): number {
  return createHash('sha256').update(key).digest()[0]!;
}

function base64(value: Uint8Array | string): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('base64');
}
