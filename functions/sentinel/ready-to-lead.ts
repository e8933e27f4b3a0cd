import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Engine } from '#lib/ports/engine.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

/**
 * Makes a Region's store ready to lead, and has capture read it from then on where that is to be told: what is committed before it
 * begins is in no log. Who leads does not wait for that, nor fail by it: the next tick makes up for it.
 *
 * @param captureNow has capture run at once; absent where an event source brings the changes.
 */
export function readyToLead(deps: {
  readonly engine: Pick<Engine, 'makeReady'>;
  readonly region: RegionId;
  readonly captureNow: (() => Promise<void>) | undefined;
  readonly telemetry: Telemetry;
}): (epoch: Epoch) => Promise<void> {
  const { captureNow, engine, region, telemetry } = deps;
  return async (epoch) => {
    await engine.makeReady(region, epoch);
    captureNow?.().catch((error) => telemetry.event('capture-not-told', { why: String(error) }));
  };
}
