import { theRuntime } from '#functions/runtime.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';

const known = new Map<RegionId, EngineFence>();

/** The engine's fence around the store of a Region. */
export function fenceAt(region: RegionId): EngineFence {
  const fence = known.get(region) ?? theRuntime().engine.fence(region);
  known.set(region, fence);
  return fence;
}
