import { setTimeout as sleepFor } from 'node:timers/promises';
import { theRuntime } from '#functions/runtime.ts';
import { lambdaProbe } from '#lib/aws/lambda-probe.ts';
import { TableFence } from '#lib/aws/table-fence.ts';
import { tryWrite } from '#lib/aws/try-write.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';

/** For a group that names nobody who may write while a fence is up: there is none, and the report says so. */
const NO_FENCE: EngineFence = {
  raise: async () => ({ proven: false, detail: 'no fence of the engine is configured' }),
  lower: async () => 'open',
};

const known = new Map<RegionId, EngineFence>();

/** The engine's fence around the store of a Region. */
export function fenceAt(region: RegionId): EngineFence {
  const fence = known.get(region) ?? createFence(region);
  known.set(region, fence);
  return fence;
}

function createFence(region: RegionId): EngineFence {
  const { config, peers } = theRuntime();
  const { exempt, probe } = config.failover.fence ?? {};
  if (exempt === undefined) return NO_FENCE;
  const { applicationDynamodb, dynamodb, lambda } = peers.clients(region);
  const { key, table } = config;
  const tried =
    applicationDynamodb !== undefined
      ? () => tryWrite(applicationDynamodb, table, key)
      : lambda !== undefined && probe !== undefined
        ? lambdaProbe(lambda, probe)
        : undefined;
  return new TableFence({
    dynamodb,
    table,
    exempt,
    ...(tried && { probe: tried }),
    sleep: (ms) => sleepFor(ms),
  });
}
