import type { Profile } from '#lib/domain/control/profile.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { StoreLease, WritePath } from '#lib/ports/sentinel-ports.ts';
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
  /** The store's own clock, Unix ms, no later than an answer that came at `atMs`, steady ms. */
  #storeClock: { readonly storeMs: number; readonly atMs: number } | undefined;

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

  /**
   * Begins one if it is due. It tells the store of the lease of its Region, too.
   *
   * @param lentMs when the beat that lends the lease was sent, steady ms; absent without a lease.
   */
  tryOne(epoch: Epoch, lentMs?: number): void {
    const { clock, profile, region, telemetry, writePath } = this.#deps;
    if (this.#underWay !== undefined) {
      if (clock.steadyMs() - this.#underWay.begunMs > CANARY_LEASES * profile.leaseMs)
        this.#isHealthy = false;
      return;
    }
    const begunMs = clock.steadyMs();
    if (begunMs < this.#dueMs) return;
    this.#dueMs = begunMs + profile.beatMs;
    const ended = writePath.canary(region, this.#storeLease(epoch, lentMs)).then(
      (storeMs) => {
        this.#isHealthy = true;
        const atMs = clock.steadyMs();
        this.#storeClock = storeMs === undefined ? undefined : { storeMs, atMs };
        const ms = atMs - begunMs;
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

  /** A store that guards itself takes its users' writes from when it hears of the lease: the next one is due at once. */
  hurry(): void {
    this.#dueMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * The lease as the store is told of it: by the store's own clock, of which only the rate is trusted. A store that hears of it
   * late, as after a pause, hears of one that is over.
   */
  #storeLease(epoch: Epoch, lentMs: number | undefined): StoreLease | undefined {
    if (lentMs === undefined || this.#storeClock === undefined) return undefined;
    const { storeMs, atMs } = this.#storeClock;
    return { epoch, untilMs: storeMs + (lentMs - atMs) + this.#deps.profile.leaseMs };
  }
}
