import { NotLeaderError } from '#lib/client/not-leader-error.ts';
import type { Acceptor, Answer, Draw } from '#lib/domain/control/acceptor.ts';
import {
  AT_HAND,
  DRAWN_MS,
  type LookTimes,
  REFUSED_MS,
  SOON_MS,
  WRITE_MS,
} from '#lib/domain/control/application-lease.ts';
import { leadershipOf, leadsSoon, nextLeaderBy } from '#lib/domain/control/leadership.ts';
import { type Moment, passedMs } from '#lib/domain/control/watch.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { SteadyClock } from '#lib/ports/telemetry.ts';

/** The most that is drawn ahead of need. */
const MAX_AHEAD = 256;

export type LeaderLeaseDeps = {
  readonly region: RegionId;
  /** The acceptor of this Region: `read` is strongly consistent. */
  readonly acceptor: {
    read(): Promise<Acceptor>;
    draw(draw: Draw): Promise<Answer<'drawn' | 'spent' | 'deposed'>>;
  };
  readonly clock: SteadyClock;
  readonly sleep: (ms: number) => Promise<void>;
  /** By where the acceptor is. Default: at hand, in the Region's control table. */
  readonly times?: LookTimes;
};

/**
 * The right to write at a Region, as an application in that Region sees it: the group's register names the Region,
 * a majority has lent it a lease that is not over by this application's own clock, and where writes are counted, the
 * lease has writes left. Where the group goes on without a lease, the leader's beats say so, and only the first counts.
 */
export class LeaderLease {
  readonly #deps: LeaderLeaseDeps;
  readonly #times: LookTimes;
  #seen: { readonly acceptor: Acceptor; readonly asked: Moment } | undefined;
  #reading: Promise<void> | undefined;
  /** Writes that were drawn and not begun. `size` was drawn at once. */
  #drawn: { readonly epoch: Epoch; readonly asked: Moment; readonly size: number; left: number } | undefined;
  #drawing: Promise<void> | undefined;
  /** The newest epoch in which this Region was seen to hold a lease. */
  #held: Epoch | undefined;

  constructor(deps: LeaderLeaseDeps) {
    this.#deps = deps;
    this.#times = deps.times ?? AT_HAND;
  }

  /**
   * Makes a write, if one may begin now.
   *
   * @param writes how many items it writes at the most.
   *
   * Throws NOT_LEADER or LEASE_SPENT if nothing was written; WRITE_UNKNOWN if the write was made, but may be lost or
   * undone, as its answer came so late that the lease may have ended first.
   */
  async write<T>(
    write: () => Promise<T>,
    writes = 1,
  ): Promise<{ readonly epoch: Epoch; readonly result: T }> {
    const { epoch, asked } = await this.#hold(writes);
    const begun = this.#moment();
    const result = await write();
    if (passedMs(begun, this.#moment()) > WRITE_MS) throw late('its answer took too long');
    if (passedMs(asked, this.#moment()) > this.#times.answerMs) {
      await this.#look();
      const now = this.#refusal();
      if (now !== epoch) throw late(typeof now === 'string' ? now : `epoch ${now} has begun`);
    }
    return { epoch, result };
  }

  /** The epoch in which a write may begin now, with its count drawn, and when the look was asked for that says so. */
  async #hold(writes: number): Promise<{ readonly epoch: Epoch; readonly asked: Moment }> {
    for (;;) {
      const epoch = await this.#epochNow();
      const { acceptor, asked } = this.#seen!;
      const granted = acceptor.beat?.granted;
      if (granted === undefined) return { epoch, asked };
      const drawn = this.#drawn;
      const isUsable = drawn?.epoch === epoch && passedMs(drawn.asked, this.#moment()) < DRAWN_MS;
      if (isUsable && drawn.left >= writes) {
        drawn.left -= writes;
        return { epoch, asked };
      }
      this.#drawing ??= this.#draw({ epoch, granted }, writes).finally(() => {
        this.#drawing = undefined;
      });
      await this.#drawing;
    }
  }

  async #draw(from: Omit<Draw, 'count'>, writes: number): Promise<void> {
    const { acceptor, region } = this.#deps;
    const before = this.#drawn;
    // Twice what was used up since the last draw, and what is left over is not drawn again.
    const ahead = before === undefined ? 1 : 2 * (before.size - before.left);
    const size = Math.max(writes, Math.min(MAX_AHEAD, ahead));
    const asked = this.#moment();
    let count = size;
    let answer = await acceptor.draw({ ...from, count });
    if (answer.kind === 'spent' && count > writes) {
      count = writes;
      answer = await acceptor.draw({ ...from, count });
    }
    this.#seen = { acceptor: answer.acceptor, asked };
    if (answer.kind === 'spent') throw spent(region);
    if (answer.kind === 'deposed') return;
    this.#drawn = { epoch: from.epoch, asked, size: count, left: count };
  }

  /**
   * Waits for a moment where this Region is about to lead: whoever was sent here ahead of its first lease writes as soon as it
   * holds it. Throws NOT_LEADER; nothing was written then.
   */
  async #epochNow(): Promise<Epoch> {
    const { region, sleep } = this.#deps;
    const since = this.#moment();
    for (;;) {
      const now = await this.#lookAgain();
      if (typeof now !== 'string') {
        this.#held = now;
        return now;
      }
      const { acceptor } = this.#seen!;
      if (!leadsSoon(acceptor, region, this.#held) || passedMs(since, this.#moment()) >= SOON_MS) {
        const next = nextLeaderBy(acceptor);
        throw new NotLeaderError(`${region} takes no writes: ${now}`, next === region ? undefined : next);
      }
      await sleep(REFUSED_MS);
    }
  }

  /** The epoch in which a write may begin now, or why none may, by a look that is not too old. */
  async #lookAgain(): Promise<Epoch | string> {
    const seen = this.#seen;
    const freshMs =
      seen !== undefined && typeof this.#refusal() === 'string' ? REFUSED_MS : this.#times.freshMs;
    if (seen === undefined || passedMs(seen.asked, this.#moment()) > freshMs) {
      this.#reading ??= this.#look().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#refusal();
  }

  async #look(): Promise<void> {
    const asked = this.#moment();
    this.#seen = { acceptor: await this.#deps.acceptor.read(), asked };
  }

  #refusal(): Epoch | string {
    const { clock, region } = this.#deps;
    const { acceptor, asked } = this.#seen!;
    const leads = leadershipOf(acceptor, region, clock.now());
    if (typeof leads === 'string') return leads;
    // A process that was stopped in the middle of a look must not believe it.
    if (passedMs(asked, this.#moment()) > this.#times.freshMs) return 'the look at its lease took too long';
    return leads;
  }

  #moment(): Moment {
    return { steadyMs: this.#deps.clock.steadyMs(), wallMs: this.#deps.clock.now() };
  }
}

function late(why: string): UnderstudyError {
  return new UnderstudyError(
    'WRITE_UNKNOWN',
    `the write was made, but ${why}`,
    'Read it back at the leader before it is made again.',
  );
}

function spent(region: RegionId): UnderstudyError {
  return new UnderstudyError(
    'LEASE_SPENT',
    `more writes have begun at ${region} than its leader has granted so far`,
    'Try again in a moment: the next beat grants more. Nothing was written.',
  );
}
