import type { OpenGroup } from '#functions/engines/open-group.ts';
import type { RegionEndpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { DynamoEngineConfig } from '#lib/domain/topology.ts';
import { createTable } from '#lib/local/provision.ts';
import type { LocalStores } from '#lib/local/stores/local-stores.ts';

/** DynamoDB tables: on the server that each Region has anyway. */
export class DynamoStores implements LocalStores {
  readonly #engine: DynamoEngineConfig;

  constructor(engine: DynamoEngineConfig) {
    this.#engine = engine;
  }

  async boot(): Promise<Partial<RegionEndpoints>> {
    return {};
  }

  async provision({ peers }: OpenGroup, region: RegionId): Promise<void> {
    const { table, key } = this.#engine;
    await createTable(peers.clients(region).dynamodb, table, key, 'NEW_AND_OLD_IMAGES');
  }
}
