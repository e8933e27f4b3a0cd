import type { TableFenceConfig } from '#functions/engines/dynamo-engine.ts';
import { openDatabases } from '#functions/engines/open-databases.ts';
import { openTables } from '#functions/engines/open-tables.ts';
import type { AwsPeers, GroupResources } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Engine } from '#lib/ports/engine.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

/** A group as it is reached from here: what is Understudy's own in each Region, and the stores that it replicates. */
export type OpenGroup = { readonly peers: AwsPeers; readonly engine: Engine };

/** `from`: the Region that looks; nobody's if absent. */
export type OpenGroupOptions = {
  readonly telemetry: Telemetry;
  readonly fence?: TableFenceConfig | undefined;
  readonly from?: RegionId;
};

/**
 * Opens a group by its configuration: the one place where its engine is chosen. Nothing is connected to yet. The bundle of a
 * function has one engine in it; there, the other's module is `foreign-engine.ts`.
 */
export function openGroup(resources: GroupResources, given: OpenGroupOptions): OpenGroup {
  const { engine } = resources;
  switch (engine.kind) {
    case 'dynamodb':
      return openTables({ ...resources, engine }, given);
    case 'postgres':
      return openDatabases({ ...resources, engine }, given);
  }
}
