import type { OpenGroup } from '#functions/engines/open-group.ts';
import type { RegionEndpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { CloudOptions } from '#lib/local/cloud-settings.ts';
import type { Place } from '#lib/local/region-servers.ts';
import { DynamoStores } from '#lib/local/stores/dynamo-stores.ts';
import { PostgresStores } from '#lib/local/stores/postgres-stores.ts';

/** The stores that a group replicates, as the embedded cloud has them. */
export interface LocalStores {
  /** Starts the servers that a Region needs for its store, beyond those that every group has. */
  boot(place: Place, region: RegionId): Promise<Partial<RegionEndpoints>>;
  /** Makes what is replicated in a Region; what is there already is left alone. */
  provision(group: OpenGroup, region: RegionId): Promise<void>;
}

/** The stores of a group by its engine. Throws PLATFORM_UNSUPPORTED where there is no server to start. */
export function localStores(
  group: GroupConfig,
  options: Pick<CloudOptions, 'leader' | 'schema' | 'sqlFile'>,
): LocalStores {
  const { engine } = group;
  switch (engine.kind) {
    case 'dynamodb':
      return new DynamoStores(engine);
    case 'postgres':
      return new PostgresStores({ ...group, engine }, options);
  }
}
