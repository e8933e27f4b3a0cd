import { createHash } from 'node:crypto';
import { type AttributeValue, paginateScan } from '@aws-sdk/client-dynamodb';
import type { Item as DomainItem } from '#lib/domain/attribute-value.ts';
import { heartbeatTime } from '#lib/engines/dynamodb/heartbeat.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import type { Group } from './group.ts';

export type Item = Record<string, AttributeValue>;

/** All items of a Region's table as an application sees them, by key. */
export async function itemsOf(group: Group, region: string): Promise<ReadonlyMap<string, Item>> {
  const items = new Map<string, Item>();
  const pages = paginateScan(
    { client: group.dynamodb(region) },
    { TableName: group.table, ConsistentRead: true },
  );
  for await (const { Items = [] } of pages) {
    for (const { [STAMP_ATTRIBUTE]: _, ...item } of Items) {
      if (heartbeatTime(item as DomainItem) === undefined) items.set(`${item.pk?.S}/${item.sk?.S}`, item);
    }
  }
  return items;
}

/** Digest of a replica: the same for the same items, whoever wrote them and in whatever order. */
export function digestOf(items: ReadonlyMap<string, Item>): string {
  const lines = [...items].map(([key, item]) => `${key} ${JSON.stringify(sorted(item))}`).toSorted();
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
}

/** The one digest of these Regions; undefined while they differ. */
export async function commonDigest(
  group: Group,
  regions: readonly string[],
): Promise<{ readonly digest: string; readonly items: ReadonlyMap<string, Item> } | undefined> {
  const replicas = await Promise.all(regions.map((region) => itemsOf(group, region)));
  const digests = new Set(replicas.map(digestOf));
  if (digests.size > 1) return undefined;
  return { digest: [...digests][0]!, items: replicas[0]! };
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}
