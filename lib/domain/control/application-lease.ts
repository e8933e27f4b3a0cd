import type { RegisterConfig } from '#lib/domain/control/register-config.ts';

/*
 * Times by which an application keeps to the lease of its Region's leader, ms, each by its own steady clock. The leader and
 * the reports rest on them: lib/client does as they say, and so does whoever writes without it.
 */

/** Times that depend on how far away the item is that an application looks at. */
export type LookTimes = {
  /** How old the newest look at the lease may be when a write begins: a look that took longer finds nothing. */
  readonly freshMs: number;
  /** If the answer to a write comes later than this after that look, it counts only if another look finds the lease again. */
  readonly answerMs: number;
  /** How long a leader that hands over waits, so that every write that counts has been made: the above, and drift. */
  readonly handoverMs: number;
};

/** An item of the Region's own control table. */
export const AT_HAND: LookTimes = { freshMs: 50, answerMs: 80, handoverMs: 90 };
/**
 * An item of an MRSC table: every look waits for another Region of the set, some 10 to 70 ms there and back. A write may come
 * later by it, and no later than the margin of the shortest profile leaves.
 */
export const ACROSS: LookTimes = { freshMs: 200, answerMs: 300, handoverMs: 335 };

export function lookTimesOf(register: RegisterConfig | undefined): LookTimes {
  return register === undefined ? AT_HAND : ACROSS;
}

/** How old a look may be that found no lease: whoever waits for one looks again. */
export const REFUSED_MS = 20;
/** How long a write waits at most at a Region that is about to lead: less than a client waits for an answer. */
export const SOON_MS = 200;
/** For how long writes that were drawn may be begun. */
export const DRAWN_MS = 1_000;
/** How long a write may take before its outcome counts as unknown. */
export const WRITE_MS = 1_000;
/** How long ago a write was drawn, at the most, when it is made and still counts: the two before, and drift. */
export const MADE_MS = 2_200;
