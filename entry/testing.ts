/**
 * The embedded cloud for your own tests: Regions on one machine, with faults between them. `understudy/testing`.
 *
 * @module
 */
export { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
export { type GroupId, parseGroupId, parseRegionId, type RegionId } from '#lib/domain/ids.ts';
export { type GroupConfig, parseGroup } from '#lib/domain/topology.ts';
export type { CloudOptions } from '#lib/local/cloud-settings.ts';
export { EmbeddedCloud } from '#lib/local/embedded-cloud.ts';
export type { CloudMessage, Part } from '#lib/local/region-processes.ts';
