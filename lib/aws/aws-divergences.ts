import { type DynamoDBClient, GetItemCommand } from '@aws-sdk/client-dynamodb';
import type { S3Client } from '@aws-sdk/client-s3';
import * as z from 'zod';
import { SegmentBucket } from '#lib/aws/segment-bucket.ts';
import { readStored, updateStored } from '#lib/aws/stored-item.ts';
import type { GroupId } from '#lib/domain/ids.ts';
import type { Draft } from '#lib/domain/log.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { Divergence, DivergenceReport, Divergences } from '#lib/ports/divergences.ts';

const reportSchema = z.looseObject({
  hash: z.string(),
  changes: z.number(),
  keys: z.number(),
  savedAtMs: z.number(),
  takenBack: z.number().transform(parseEpoch).exactOptional(),
});
const discardedSchema = z.object({ by: z.string(), reason: z.string(), atMs: z.number() });

/** Where a group's divergent changes are, in its log bucket: no group and no segment has a name that begins so. */
export function divergencePrefix(group: GroupId): string {
  return `_divergence/${group}`;
}

/**
 * Items `<group>#divergence#<epoch>` of a Region's control table, and objects under `_divergence/<group>/<sha256>` of its
 * log bucket. Neither is ever deleted.
 */
export class AwsDivergences implements Divergences {
  readonly #dynamodb: DynamoDBClient;
  readonly #group: GroupId;
  readonly #table: string;
  readonly #objects: SegmentBucket;

  constructor(deps: {
    dynamodb: DynamoDBClient;
    s3: S3Client;
    group: GroupId;
    table: string;
    bucket: string;
  }) {
    this.#objects = new SegmentBucket({ ...deps, prefix: divergencePrefix(deps.group) });
    this.#dynamodb = deps.dynamodb;
    this.#group = deps.group;
    this.#table = deps.table;
  }

  put(hash: string, bytes: Uint8Array): Promise<void> {
    return this.#objects.put(hash, bytes);
  }

  get(hash: string): Promise<Uint8Array> {
    return this.#objects.get(hash);
  }

  async collect(epoch: Epoch, { hash, maxCommitMs }: Pick<Draft, 'hash' | 'maxCommitMs'>): Promise<void> {
    const { newestMs = 0 } = (await this.of(epoch)) ?? {};
    await updateStored(this.#dynamodb, {
      TableName: this.#table,
      Key: this.#key(epoch),
      UpdateExpression: 'ADD collected :hash SET newestMs = :newest',
      ExpressionAttributeValues: {
        ':hash': { SS: [hash] },
        ':newest': { N: `${Math.max(newestMs, maxCommitMs)}` },
      },
    });
  }

  async of(epoch: Epoch): Promise<Divergence | undefined> {
    const { Item } = await this.#dynamodb.send(
      new GetItemCommand({ TableName: this.#table, Key: this.#key(epoch), ConsistentRead: true }),
    );
    if (Item === undefined) return undefined;
    return readStored(Item, ({ collected, newestMs, report, discarded }) => ({
      epoch,
      collected: collected?.SS ?? [],
      newestMs: Number(newestMs?.N ?? 0),
      ...(report?.S !== undefined && { report: reportSchema.parse(JSON.parse(report.S)) }),
      ...(discarded?.S !== undefined && { discarded: discardedSchema.parse(JSON.parse(discarded.S)) }),
    }));
  }

  async save(epoch: Epoch, report: DivergenceReport): Promise<void> {
    await this.#set(epoch, 'report', report);
  }

  async discard(
    epoch: Epoch,
    by: { readonly by: string; readonly reason: string; readonly atMs: number },
  ): Promise<void> {
    await this.#set(epoch, 'discarded', by);
  }

  async #set(epoch: Epoch, name: string, value: object): Promise<void> {
    await updateStored(this.#dynamodb, {
      TableName: this.#table,
      Key: this.#key(epoch),
      UpdateExpression: 'SET #name = :value',
      ExpressionAttributeNames: { '#name': name },
      ExpressionAttributeValues: { ':value': { S: JSON.stringify(value) } },
    });
  }

  #key(epoch: Epoch) {
    return { id: { S: `${this.#group}#divergence#${epoch}` } };
  }
}
