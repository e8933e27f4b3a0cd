import type { RecordConfig } from '#lib/domain/control/failover-config.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/**
 * How a health check asks a Region whether it leads: every `requestInterval` seconds, the shortest that Route 53 has, and
 * it believes each answer. That is calm enough: a check changes only once more than 18% of Route 53's checkers say that
 * it is healthy, or once no more than that do.
 */
export const HEALTH_CHECK = { requestInterval: 10, failureThreshold: 1 } as const;

/** One Region's set of a record that health checks choose from. All have the same weight: only one is to be healthy. */
export function regionSet(
  { name, ttlSeconds }: RecordConfig,
  region: RegionId,
  target: string,
  type: 'A' | 'AAAA' | 'CNAME',
) {
  return { name, type, ttlSeconds, setIdentifier: region, weight: 1, values: [target] };
}
