import type { Profile } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { SteadyClock } from '#lib/ports/telemetry.ts';

export type OutlookDeps = {
  readonly clock: Pick<SteadyClock, 'steadyMs'>;
  readonly profile: Profile;
  /** Would an election find somebody to promote now? Not asked before an epoch has been claimed in vain. */
  readonly hasCandidate?: () => Promise<boolean>;
};

/** The longest wait for a candidate is 2 to this times the time for a takeover. */
const MOST_DOUBLINGS = 6;

/**
 * Whether to claim the next epoch after one that was claimed in vain. Where an election would find nobody, the next waits:
 * twice as long with each epoch, and no longer than until there is a candidate. What nobody knows holds up nothing.
 */
export class Outlook {
  readonly #deps: OutlookDeps;
  /** Of the newest epoch that has fallen silent without a leader. */
  #of: { readonly epoch: Epoch; readonly sinceMs: number; askedMs: number; isHopeless: boolean } | undefined;

  constructor(deps: OutlookDeps) {
    this.#deps = deps;
  }

  /** Asks, now and then, ahead of the moment at which the answer is wanted. */
  look({ epoch, phase }: Register): void {
    const { clock, hasCandidate, profile } = this.#deps;
    if (hasCandidate === undefined || phase === 'leading') return;
    const nowMs = clock.steadyMs();
    if (this.#of?.epoch === epoch && nowMs - this.#of.askedMs < profile.takeoverMs) return;
    const of =
      this.#of?.epoch === epoch ? this.#of : { epoch, sinceMs: nowMs, askedMs: 0, isHopeless: false };
    of.askedMs = nowMs;
    this.#of = of;
    const answered = (has: boolean) => {
      of.isHopeless = !has;
    };
    hasCandidate().then(answered, () => answered(true));
  }

  /** Why the next epoch is not claimed yet; undefined if it may be. */
  holds({ epoch, led }: Register): string | undefined {
    const of = this.#of;
    if (of?.epoch !== epoch || !of.isHopeless) return undefined;
    const { clock, profile } = this.#deps;
    const vain = epoch - (led ?? epoch - 1);
    const waitMs = profile.takeoverMs * 2 ** Math.min(vain, MOST_DOUBLINGS);
    if (clock.steadyMs() - of.sinceMs >= waitMs) return undefined;
    return `nobody may be promoted now; after ${vain} epochs in vain, the next waits for a candidate or ${waitMs / 1000} s`;
  }
}
