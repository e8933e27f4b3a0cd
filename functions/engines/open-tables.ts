import { DynamoEngine } from '#functions/engines/dynamo-engine.ts';
import type { OpenGroup, OpenGroupOptions } from '#functions/engines/open-group.ts';
import { AwsPeers, type GroupResources } from '#lib/aws/aws-peers.ts';
import type { DynamoEngineConfig } from '#lib/domain/topology.ts';
import { STAMP_ATTRIBUTE } from '#lib/engines/dynamodb/stamp.ts';

/** Opens a group of DynamoDB tables. */
export function openTables(
  resources: GroupResources & { readonly engine: DynamoEngineConfig },
  { fence, from }: OpenGroupOptions,
): OpenGroup {
  const peers = new AwsPeers(resources, STAMP_ATTRIBUTE, { ...(from && { from }) });
  return { peers, engine: new DynamoEngine(resources, peers, fence) };
}
