/**
 * The constructs: `ReplicationGroup` and what it takes. Import it in a CDK app as `understudy`.
 *
 * @module
 */
export { type DynamoEngineProps, Engine } from '#lib/constructs/engine.ts';
export type {
  AlarmProps,
  DnsProps,
  DrillProps,
  ReplicaProps,
  ReplicationGroupProps,
  ZoneProps,
} from '#lib/constructs/group-props.ts';
export type { CodeOf, Handler } from '#lib/constructs/handler.ts';
export type {
  DatabaseHost,
  DatabaseProps,
  FunctionNetworkProps,
  PostgresEngineProps,
} from '#lib/constructs/postgres-props.ts';
export { Profile } from '#lib/constructs/profile.ts';
export type { RegionStack } from '#lib/constructs/region-stack.ts';
export { Register } from '#lib/constructs/register.ts';
export type { RegisterStack } from '#lib/constructs/register-stack.ts';
export { ReplicationGroup } from '#lib/constructs/replication-group.ts';
export type { WitnessStack } from '#lib/constructs/witness-stack.ts';
export { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
