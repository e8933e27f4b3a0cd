import type { Profile } from '#lib/domain/control/profile.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { EngineFence } from '#lib/ports/sentinel-ports.ts';
import type { SteadyClock, Telemetry } from '#lib/ports/telemetry.ts';

export type FenceKeeperDeps = {
  readonly fence: EngineFence;
  readonly clock: Pick<SteadyClock, 'steadyMs'>;
  readonly profile: Pick<Profile, 'leaseMs'>;
  readonly telemetry: Telemetry;
};

/** After how many leases' time a fence that is as it should be is looked at again: a late call may have moved it. */
const AGAIN_LEASES = 20;

/**
 * Holds a store's fence to what is wanted. Calls go one at a time, so that none undoes what was asked for after it, and
 * beside the caller: a control plane that hangs must not cost a leader its lease.
 */
export class FenceKeeper {
  readonly #deps: FenceKeeperDeps;
  #moving = false;
  #last: { readonly up: boolean; readonly epoch: Epoch; readonly againMs: number } | undefined;

  constructor(deps: FenceKeeperDeps) {
    this.#deps = deps;
  }

  /** Say it at every look: what is done already costs nothing, and what is under way, or has failed, is tried later. */
  want(up: boolean, epoch: Epoch): void {
    const { clock, profile, telemetry } = this.#deps;
    const now = clock.steadyMs();
    const last = this.#last;
    const isDone = last !== undefined && last.up === up && last.epoch === epoch;
    if (this.#moving || (isDone && now < last.againMs)) return;
    this.#moving = true;
    this.#move(up, epoch, !isDone)
      .then(
        () => AGAIN_LEASES,
        (error) => {
          telemetry.event('fence-failed', { epoch, up, why: String(error) });
          return 1;
        },
      )
      .then((leases) => {
        this.#last = { up, epoch, againMs: clock.steadyMs() + leases * profile.leaseMs };
        this.#moving = false;
      });
  }

  async #move(up: boolean, epoch: Epoch, isNews: boolean): Promise<void> {
    const { fence, telemetry } = this.#deps;
    if (up) {
      const { proven, detail } = await fence.raise(epoch);
      if (isNews) telemetry.event('fence-raised', { epoch, proven, detail });
    } else {
      const outcome = await fence.lower(epoch);
      if (isNews || outcome === 'fenced') telemetry.event('fence-lowered', { epoch, outcome });
    }
  }
}
