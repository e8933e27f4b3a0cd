import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RegionEndpoints } from '#lib/aws/config.ts';
import { RegionClients } from '#lib/aws/region-clients.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { createTable, namesOf, provisionRegion, type RegionNames } from '#lib/local/provision.ts';
import { startS3Server } from '#lib/local/s3-server.ts';

/** The servers of one Region on a folder of their own, with clients and what a group keeps there. */
export type RegionServers = AsyncDisposable & {
  readonly region: RegionId;
  readonly endpoints: RegionEndpoints;
  readonly clients: RegionClients;
  /** Makes a group's tables, bucket and queue, and no database; `named` replaces some of their names. */
  provision(
    group: GroupConfig,
    named?: Partial<RegionNames>,
  ): Promise<RegionNames & { readonly failureQueueUrl: string }>;
};

export async function startRegionServers(region: RegionId): Promise<RegionServers> {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-test-'));
  await using started = new AsyncDisposableStack();
  started.defer(() => rm(folder, { recursive: true, force: true }));
  const [dynamodb, s3] = await Promise.all([
    startDynamoServer({ file: join(folder, 'dynamodb.sqlite') }).then((server) => started.use(server)),
    startS3Server({ directory: join(folder, 's3') }).then((server) => started.use(server)),
  ]);
  const endpoints: RegionEndpoints = {
    dynamodb: dynamodb.endpoint,
    s3: s3.endpoint,
    sqs: s3.endpoint,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  const clients = new RegionClients(region, { [region]: endpoints });
  started.defer(() => clients.destroy());
  const stop = started.move();
  return {
    region,
    endpoints,
    clients,
    async provision(group, named = {}) {
      const names = { ...namesOf(group, region), ...named };
      const failureQueueUrl = await provisionRegion(clients, names);
      const { engine } = group;
      if (engine.kind === 'dynamodb') {
        await createTable(clients.dynamodb, engine.table, engine.key, 'NEW_AND_OLD_IMAGES');
      }
      return { ...names, failureQueueUrl };
    },
    [Symbol.asyncDispose]: () => stop.disposeAsync(),
  };
}
