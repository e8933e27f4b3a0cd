import { DeleteItemCommand, type DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import type { SdkItem } from '#lib/aws/dynamo-failure.ts';
import type { AttributeValue, Item } from '#lib/domain/attribute-value.ts';
import type { KeySchema } from '#lib/domain/topology.ts';

/** One write of an application. */
export type Write =
  | { readonly kind: 'put'; readonly key: Item; readonly item: Item }
  | { readonly kind: 'delete'; readonly key: Item };

/** Makes writes to a table. */
export function commitTo(dynamodb: DynamoDBClient, TableName: string): (write: Write) => Promise<unknown> {
  return (write) =>
    write.kind === 'put'
      ? dynamodb.send(new PutItemCommand({ TableName, Item: write.item as SdkItem }))
      : dynamodb.send(new DeleteItemCommand({ TableName, Key: write.key as SdkItem }));
}

/** Name of the attribute that holds the time of the write, Unix ms: what lag is measured by. */
export const WRITTEN_AT = 'writtenAtMs';

/**
 * Orders as a shop would write them: six in ten writes are new, three change an order, one deletes one. The
 * items' keys follow the table's schema.
 */
export class Workload {
  readonly #key: KeySchema;
  readonly #random: () => number;
  readonly #live: number[] = [];
  #next: number;

  /**
   * @param random from 0 to 1, exclusive.
   * @param first number of the first order.
   */
  constructor(key: KeySchema, random: () => number, first = 0) {
    this.#key = key;
    this.#random = random;
    this.#next = first;
  }

  next(nowMs: number): Write {
    const dice = this.#random();
    const victim = Math.floor(this.#random() * this.#live.length);
    if (dice < 0.1 && this.#live.length > 10) {
      const [number] = this.#live.splice(victim, 1);
      return { kind: 'delete', key: this.#keyOf(number!) };
    }
    const isNew = dice < 0.7 || this.#live.length === 0;
    const number = isNew ? this.#next++ : this.#live[victim]!;
    if (isNew) this.#live.push(number);
    const key = this.#keyOf(number);
    const item = {
      ...key,
      status: { S: isNew ? 'placed' : 'shipped' },
      total: { N: (this.#random() * 1000).toFixed(2) },
      customer: { S: `customer-${Math.floor(this.#random() * 10_000)}` },
      note: { S: 'Leave it with the neighbours if nobody is at home; ring twice.' },
      [WRITTEN_AT]: { N: String(nowMs) },
    };
    return { kind: 'put', key, item };
  }

  #keyOf(number: number): Item {
    const values: Record<string, AttributeValue> = {};
    for (const { name, type } of this.#key) {
      const text = `order#${String(number).padStart(8, '0')}`;
      if (type === 'S') values[name] = { S: text };
      else if (type === 'N') values[name] = { N: String(number) };
      else values[name] = { B: new TextEncoder().encode(text) };
    }
    return values;
  }
}
