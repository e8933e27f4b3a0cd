import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegionEndpoints } from '#lib/aws/config.ts';
import { parseRegionId, type RegionId } from '#lib/domain/ids.ts';
import { APPLICATION, type CloudSettings, CREDENTIALS, ROLE } from '#lib/local/cloud-settings.ts';
import { startCloudWatchServer } from '#lib/local/cloudwatch/cloudwatch-server.ts';
import { deployedAlarms } from '#lib/local/cloudwatch/deployed-alarms.ts';
import { startDynamoServer } from '#lib/local/dynamo-server.ts';
import { startGate } from '#lib/local/policy/gate-server.ts';
import type { Run } from '#lib/local/region-processes.ts';
import { startS3Server } from '#lib/local/s3-server.ts';
import type { LocalStores } from '#lib/local/stores/local-stores.ts';
import type { Server } from '#lib/local/supervised.ts';

/** Where the server of an MRSC table lives, in the network: in no Region. */
export const BETWEEN = parseRegionId('any-region-0');

export type Place = {
  readonly settings: CloudSettings;
  /** Of the cloud; a Region has one in it. */
  readonly folder: string;
  readonly run: Run;
  readonly stores: LocalStores;
};

/** Starts the servers of a Region that holds data, and says where they are reached from outside. */
export async function bootReplica(place: Place, region: RegionId): Promise<RegionEndpoints> {
  const [dynamodb, s3, cloudwatch, store] = await all([
    bootDynamo(place, region),
    bootS3(place, region),
    bootCloudWatch(place, region),
    place.stores.boot(place, region),
  ] as const);
  const gate = place.settings.hasFailover ? await bootGate(place, region, dynamodb.port) : undefined;
  return {
    dynamodb: (gate ?? dynamodb).endpoint,
    ...(gate && { application: APPLICATION }),
    s3: s3.endpoint,
    sqs: s3.endpoint,
    cloudwatch: cloudwatch.endpoint,
    credentials: CREDENTIALS,
    ...store,
  };
}

/** Starts the servers of a Region that votes alone. */
export async function bootWitness(place: Place, region: RegionId): Promise<RegionEndpoints> {
  const [dynamodb, cloudwatch] = await all([
    bootDynamo(place, region),
    bootCloudWatch(place, region),
  ] as const);
  return { dynamodb: dynamodb.endpoint, cloudwatch: cloudwatch.endpoint, credentials: CREDENTIALS };
}

/**
 * Starts the server that plays an MRSC table: one table, which outlives any Region. A Region reaches it as long as it reaches
 * another Region, which is how such a table is at hand for a majority of its Regions and for nobody else.
 */
export async function bootRegister(place: Place): Promise<string> {
  return (await bootDynamo(place, BETWEEN)).endpoint;
}

async function bootCloudWatch({ folder, run, settings }: Place, region: RegionId): Promise<Server> {
  const alarms = join(await folderOf(folder, region), 'alarms.json');
  const { maxLagMs } = settings.profile;
  await writeFile(alarms, JSON.stringify(deployedAlarms(settings.group, region, maxLagMs)));
  const given = { alarms, minuteMs: settings.alarmMinuteMs, name: `CloudWatch of ${region}` };
  return run(
    region,
    'cloudwatch',
    onOnePort((rest) => startCloudWatchServer({ ...given, ...rest })),
  );
}

async function bootDynamo({ folder, run }: Place, region: RegionId): Promise<Server> {
  const file = join(await folderOf(folder, region), 'dynamodb.sqlite');
  const name = `DynamoDB server of ${region}`;
  return run(
    region,
    'dynamodb',
    onOnePort((rest) => startDynamoServer({ file, name, ...rest })),
  );
}

/** What the DynamoDB server lacks: resource policies, by which an old leader's table is fenced. */
function bootGate({ folder, run }: Place, region: RegionId, target: number): Promise<Server> {
  const file = join(folder, region, 'policies.json');
  const name = `policy gate of ${region}`;
  const principals = { [CREDENTIALS.accessKeyId]: ROLE };
  return run(
    region,
    'gate',
    onOnePort((rest) => startGate({ target, file, principals, name, ...rest })),
  );
}

function bootS3({ folder, run }: Place, region: RegionId): Promise<Server> {
  const directory = join(folder, region, 's3');
  const name = `S3 server of ${region}`;
  return run(
    region,
    's3',
    onOnePort((rest) => startS3Server({ directory, name, ...rest })),
  );
}

export async function folderOf(folder: string, region: RegionId): Promise<string> {
  const own = join(folder, region);
  await mkdir(own, { recursive: true });
  return own;
}

/** A server that comes back takes the port that it had. */
export function onOnePort<S extends Server>(
  start: (rest: { readonly port?: number; readonly signal: AbortSignal }) => Promise<S>,
): (signal: AbortSignal) => Promise<S> {
  let port: { port?: number } = {};
  return async (signal) => {
    const server = await start({ ...port, signal });
    port = { port: server.port };
    return server;
  };
}

/** Waits for all and then fails with the first failure, so that nothing is still coming up behind the caller's back. */
export async function all<const T extends readonly Promise<unknown>[]>(
  work: T,
): Promise<{ -readonly [K in keyof T]: Awaited<T[K]> }> {
  const results = await Promise.allSettled(work);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return Promise.all(work);
}
