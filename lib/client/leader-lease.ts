import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { SteadyClock } from '#lib/ports/telemetry.ts';

/**
 * How old the newest look at the lease may be when a write begins, ms. A leader that hands over waits a little longer
 * than this for its clients to see it.
 */
const FRESH_MS = 100;

/**
 * The right to write at a Region, as an application in that Region sees it: the group's register names the Region,
 * and a majority has lent it a lease that is not over by this application's own clock.
 */
export class LeaderLease {
  readonly #region: RegionId;
  readonly #read: () => Promise<Acceptor>;
  readonly #clock: SteadyClock;
  #seen: { readonly acceptor: Acceptor; readonly askedSteadyMs: number } | undefined;
  #reading: Promise<void> | undefined;

  /** @param deps `read`: a strongly consistent read of the acceptor of this Region. */
  constructor(deps: { region: RegionId; read: () => Promise<Acceptor>; clock: SteadyClock }) {
    this.#region = deps.region;
    this.#read = deps.read;
    this.#clock = deps.clock;
  }

  /** The epoch in which a write may begin now. Throws NOT_LEADER; nothing was written then. */
  async hold(): Promise<Epoch> {
    if (this.#seen === undefined || this.#clock.steadyMs() - this.#seen.askedSteadyMs > FRESH_MS) {
      this.#reading ??= this.#look().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    const refusal = this.#refusal();
    if (typeof refusal !== 'string') return refusal;
    throw new UnderstudyError(
      'NOT_LEADER',
      `${this.#region} takes no writes: ${refusal}`,
      'Ask DNS for the leader again; nothing was written.',
    );
  }

  async #look(): Promise<void> {
    const askedSteadyMs = this.#clock.steadyMs();
    this.#seen = { acceptor: await this.#read(), askedSteadyMs };
  }

  #refusal(): Epoch | string {
    const { acceptor, askedSteadyMs } = this.#seen!;
    const { accepted, beat, vote } = acceptor;
    const register = accepted?.value;
    if (register?.phase !== 'leading') return 'a failover is under way';
    if (register.leader !== this.#region) return `${register.leader} leads epoch ${register.epoch}`;
    if (vote === register.epoch) return 'it is handing over';
    if (beat?.epoch !== register.epoch || beat.leaseUntilMs <= this.#clock.now()) return 'its lease is over';
    // A process that was stopped in the middle of a look must not believe it.
    if (this.#clock.steadyMs() - askedSteadyMs > FRESH_MS) return 'the look at its lease took too long';
    return register.epoch;
  }
}
