import { DynamoEngine, type TableFenceConfig } from '#functions/engines/dynamo-engine.ts';
import { PostgresEngine } from '#functions/engines/postgres-engine.ts';
import { AwsPeers, type GroupResources } from '#lib/aws/aws-peers.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';
import { type Connect, connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import type { Engine } from '#lib/ports/engine.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

/** A group as it is reached from here: what is Understudy's own in each Region, and the stores that it replicates. */
export type OpenGroup = { readonly peers: AwsPeers; readonly engine: Engine };

/**
 * Opens a group by its configuration: the one place where its engine is chosen. Nothing is connected to yet.
 *
 * @param given `from`: the Region that looks; nobody's if absent.
 */
export function openGroup(
  resources: GroupResources,
  given: {
    readonly telemetry: Telemetry;
    readonly fence?: TableFenceConfig | undefined;
    readonly from?: RegionId;
  },
): OpenGroup {
  const { engine } = resources;
  const from = given.from && { from: given.from };
  switch (engine.kind) {
    case 'dynamodb': {
      const peers = new AwsPeers(resources, STAMP_ATTRIBUTE, { ...from });
      return { peers, engine: new DynamoEngine({ ...resources, engine }, peers, given.fence) };
    }
    case 'postgres': {
      const known = new Map<RegionId, Connect>();
      const connectTo = (at: RegionId) => {
        const connect = known.get(at) ?? connector({ connectionString: databaseOf(resources, at) });
        known.set(at, connect);
        return connect;
      };
      const positionsOf = (at: RegionId) => new PostgresCheckpoints(connectTo(at));
      return {
        peers: new AwsPeers(resources, STAMP_ATTRIBUTE, { ...from, positionsOf }),
        engine: new PostgresEngine({ ...resources, engine }, { connectTo, telemetry: given.telemetry }),
      };
    }
  }
}

/** Where the database of a Region is. Throws CONFIG_INVALID. */
export function databaseOf({ endpoints, engine }: GroupResources, region: RegionId): string {
  const url =
    endpoints[region]?.postgres ?? (engine.kind === 'postgres' ? engine.databases[region] : undefined);
  if (url !== undefined) return url;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `the configuration does not say where the database of ${region} is`,
    `Give engine.databases.${region}, as postgres://role@host:port/database.`,
  );
}
