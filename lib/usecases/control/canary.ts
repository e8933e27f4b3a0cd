import type { Profile } from '#lib/domain/control/profile.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { WritePath } from '#lib/ports/sentinel-ports.ts';
import type { SteadyClock, Telemetry } from '#lib/ports/telemetry.ts';

/** How many leases' time a canary may take before the write path counts as broken: overload is not death. */
const CANARY_LEASES = 20;

export type CanaryDeps = {
  readonly region: RegionId;
  readonly clock: Pick<SteadyClock, 'steadyMs'>;
  readonly profile: Pick<Profile, 'beatMs' | 'leaseMs'>;
  readonly writePath: WritePath;
  readonly telemetry: Telemetry;
};

/** Writes through a Region's own store, one at a time: a beat says that this Region's write path works. */
export class Canary {
  readonly #deps: CanaryDeps;
  #underWay: { readonly begunMs: number; readonly ended: Promise<void> } | undefined;
  #dueMs = Number.NEGATIVE_INFINITY;
  #isHealthy = false;

  constructor(deps: CanaryDeps) {
    this.#deps = deps;
  }

  /** Whether the last that ended came through, and none takes too long. */
  get isHealthy(): boolean {
    return this.#isHealthy;
  }

  /** Resolves once the one that is under way has ended; undefined if none is. */
  get ended(): Promise<void> | undefined {
    return this.#underWay?.ended;
  }

  /** Begins one if it is due. */
  tryOne(epoch: Epoch): void {
    const { clock, profile, region, telemetry, writePath } = this.#deps;
    if (this.#underWay !== undefined) {
      if (clock.steadyMs() - this.#underWay.begunMs > CANARY_LEASES * profile.leaseMs)
        this.#isHealthy = false;
      return;
    }
    const begunMs = clock.steadyMs();
    if (begunMs < this.#dueMs) return;
    this.#dueMs = begunMs + profile.beatMs;
    const ended = writePath.canary(region).then(
      () => {
        this.#isHealthy = true;
        const ms = clock.steadyMs() - begunMs;
        if (ms > profile.leaseMs) telemetry.event('canary-slow', { epoch, ms });
        this.#underWay = undefined;
      },
      (error) => {
        this.#isHealthy = false;
        telemetry.event('canary-failed', { epoch, why: String(error) });
        this.#underWay = undefined;
      },
    );
    this.#underWay = { begunMs, ended };
  }
}
