import type { LeaderFinder } from '#lib/client/leader-finder.ts';
import type { LeaderLease } from '#lib/client/leader-lease.ts';
import { NotLeaderError } from '#lib/client/not-leader-error.ts';
import { isFailure, UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** Where a leader is reached. With a lease, writes are refused here once it is over. */
export type Site<H> = { readonly handle: H; readonly lease?: Pick<LeaderLease, 'write'> };

/**
 * What became of a try that failed.
 * - refused: it was certainly not made, and may be where another leads, or later.
 * - failed: it was certainly not made, and never will be: the store has answered that it can't be, as by a condition, or
 *   the client is set up wrongly.
 * - unknown: nobody can tell whether it was made.
 */
export type TryFate = 'refused' | 'failed' | 'unknown';

/** `converged`: when writes go through again after they did not. Times in ms. */
export type ClientEvent =
  | { readonly kind: 'refused'; readonly target: string; readonly why: string }
  | { readonly kind: 'unknown'; readonly target: string; readonly why: string }
  | { readonly kind: 'converged'; readonly target: string; readonly afterMs: number };

export type LeaderClientOptions<H> = {
  readonly finder: Pick<LeaderFinder, 'find' | 'forget'>;
  /** The way to what DNS named. Called once a target. */
  readonly open: (target: string) => Site<H>;
  /**
   * What DNS calls `leader`, the Region that `target` names where it takes no writes. With it, the client need not wait for
   * DNS to follow a change of the leader.
   */
  readonly targetOf?: (leader: RegionId, target: string) => string;
  /** Tells errors after which nothing was written from those that leave it open. */
  readonly fateOf?: (error: unknown) => TryFate;
  readonly onEvent?: (event: ClientEvent) => void;
  /** How long one try may take, how long to pause between tries, how long to try in all, ms. */
  readonly tryMs?: number;
  readonly pauseMs?: number;
  readonly deadlineMs?: number;
  readonly now: () => number;
  readonly sleep: (ms: number) => Promise<void>;
};

/**
 * Writes at whichever Region leads: finds it through DNS, asks DNS again when it is refused, and never makes a write
 * of unknown outcome a second time unless it is idempotent.
 */
export class LeaderClient<H> {
  readonly #options: Required<Omit<LeaderClientOptions<H>, 'onEvent' | 'targetOf'>> &
    Pick<LeaderClientOptions<H>, 'onEvent' | 'targetOf'>;
  readonly #sites = new Map<string, Site<H>>();
  #failingSinceMs: number | undefined;
  /** Where the target that DNS names has sent this client. */
  #sent: { readonly by: string; readonly to: string; readonly untilMs: number } | undefined;

  constructor(options: LeaderClientOptions<H>) {
    this.#options = { fateOf, tryMs: 1_000, pauseMs: 50, deadlineMs: 30_000, ...options };
  }

  /**
   * Runs `write` at the leader. It gets a signal that ends the try.
   *
   * @param options `idempotent`: to write twice is as good as once, so a try of unknown outcome is made again. `writes`:
   * how many items it writes at the most; 1 if absent.
   *
   * Throws WRITE_UNKNOWN if the write may have been made, NOT_LEADER if it certainly was not before the deadline, and
   * the store's own error where that says no.
   */
  async write<T>(
    write: (handle: H, signal: AbortSignal) => Promise<T>,
    options: { readonly idempotent: boolean; readonly writes?: number },
  ): Promise<T> {
    const { deadlineMs, finder, now, pauseMs, sleep } = this.#options;
    const until = now() + deadlineMs;
    let doubtful = false;
    for (;;) {
      let [named, target] = ['', ''];
      try {
        named = (await finder.find()).target;
        target = this.#targetFor(named);
        const result = await this.#try(target, write, options.writes);
        this.#converged(target);
        if (target !== named) this.#follow(named, target);
        return result;
      } catch (error) {
        const fate = this.#options.fateOf(error);
        if (fate === 'failed') throw doubtful ? unknown(target, error) : error;
        this.#failingSinceMs ??= now();
        this.#options.onEvent?.({ kind: fate, target, why: String(error) });
        if (fate === 'unknown') {
          doubtful = true;
          if (!options.idempotent) throw unknown(target, error);
        }
        if (now() >= until) throw doubtful ? unknown(target, error) : error;
        // Who has to grant more writes first is the leader.
        if (!isFailure(error, 'LEASE_SPENT')) {
          this.#heed(error, named, target);
          finder.forget();
        }
        await sleep(pauseMs);
      }
    }
  }

  /** Where to write while DNS names `named`. */
  #targetFor(named: string): string {
    const sent = this.#sent;
    return sent?.by === named && this.#options.now() < sent.untilMs ? sent.to : named;
  }

  #follow(by: string, to: string): void {
    this.#sent = { by, to, untilMs: this.#options.now() + SENT_MS };
  }

  /** Whoever refuses a write may know who takes it: that one is asked until it knows better, or for a moment. */
  #heed(error: unknown, named: string, target: string): void {
    if (!(error instanceof NotLeaderError)) {
      if (target !== named) this.#sent = undefined;
      return;
    }
    const { targetOf } = this.#options;
    if (error.leader !== undefined && targetOf !== undefined)
      this.#follow(named, targetOf(error.leader, target));
  }

  async #try<T>(
    target: string,
    write: (handle: H, signal: AbortSignal) => Promise<T>,
    writes?: number,
  ): Promise<T> {
    const site = this.#sites.get(target) ?? this.#options.open(target);
    this.#sites.set(target, site);
    const make = () => write(site.handle, AbortSignal.timeout(this.#options.tryMs));
    return site.lease === undefined ? make() : this.#underLease(target, site.lease, make, writes);
  }

  /** A Region that hangs answers neither a write nor a look at its lease. */
  async #underLease<T>(
    target: string,
    lease: Pick<LeaderLease, 'write'>,
    make: () => Promise<T>,
    writes?: number,
  ): Promise<T> {
    const { sleep, tryMs } = this.#options;
    let state: 'waiting' | 'made' | 'given up' | 'over' = 'waiting';
    const made = lease.write(() => {
      if (state === 'given up') throw unreachable(target, tryMs);
      state = 'made';
      return make();
    }, writes);
    const end = () => {
      state = 'over';
    };
    made.then(end, end);
    const late = async (): Promise<never> => {
      await sleep(tryMs);
      if (state === 'waiting') {
        state = 'given up';
        throw unreachable(target, tryMs);
      }
      if (state === 'made') await sleep(2 * tryMs);
      throw unknown(target, new Error(`no answer within ${3 * tryMs} ms`));
    };
    const over = late();
    over.catch(() => {});
    return (await Promise.race([made, over])).result;
  }

  #converged(target: string): void {
    if (this.#failingSinceMs === undefined) return;
    const afterMs = this.#options.now() - this.#failingSinceMs;
    this.#failingSinceMs = undefined;
    this.#options.onEvent?.({ kind: 'converged', target, afterMs });
  }
}

/** For how long a target is asked to which DNS does not point (yet), without an answer that it leads, ms. */
const SENT_MS = 1_000;

/** What is set up wrongly is no better at the next try. */
const MISTAKES = ['CONFIG_INVALID', 'DNS_TARGET_UNKNOWN'] as const;
const NOT_MADE = ['NOT_LEADER', 'LEASE_SPENT', 'REGION_UNREACHABLE'] as const;
/** Errors after which nothing was written: refused by a lease, a fence or a closed port. */
const REFUSALS = new Set([
  'AccessDeniedException',
  'ECONNREFUSED',
  'ENOTFOUND',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

/** What a service answers that may take the same request later: the SDK counts it as a fault of the client. */
const PUT_OFF =
  /Throttl|LimitExceeded|ThroughputExceeded|TransactionConflict|Expired|Skewed|InvalidSignature/;

/** The fate of a try by its error, for the AWS SDK, fetch and this library. */
export function fateOf(error: unknown): TryFate {
  if (MISTAKES.some((code) => isFailure(error, code))) return 'failed';
  if (NOT_MADE.some((code) => isFailure(error, code))) return 'refused';
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const { $fault, code, name } = at as Error & { readonly $fault?: string; readonly code?: string };
    if (REFUSALS.has(name) || (code !== undefined && REFUSALS.has(code))) return 'refused';
    if (name === 'TransactionInProgressException') return 'unknown';
    // A service has answered, and has done nothing.
    if ($fault === 'client') return PUT_OFF.test(`${name} ${at.message}`) ? 'refused' : 'failed';
  }
  return 'unknown';
}

function unreachable(target: string, ms: number): UnderstudyError {
  return new UnderstudyError(
    'REGION_UNREACHABLE',
    `${target} did not say within ${ms} ms whether it leads`,
    'Ask DNS for the leader again; nothing was written.',
  );
}

function unknown(target: string, cause: unknown): UnderstudyError {
  return new UnderstudyError(
    'WRITE_UNKNOWN',
    `the write at ${target} may or may not have been made`,
    'Read it back before it is made again, or mark the write as idempotent if twice is as good as once.',
    { cause },
  );
}
