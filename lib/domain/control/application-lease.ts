/*
 * Times by which an application keeps to the lease of its Region's leader, ms, each by its own steady clock. The leader and
 * the reports rest on them: lib/client does as they say, and so does whoever writes without it.
 */

/** How old the newest look at the lease may be when a write begins. */
export const FRESH_MS = 50;
/** How old a look may be that found no lease: whoever waits for one looks again. */
export const REFUSED_MS = 20;
/** If the answer to a write comes later than this after that look, it counts only if another look finds the lease again. */
export const ANSWER_MS = 80;
/** How long a leader that hands over waits, so that every write that counts has been made: the above, and drift. */
export const HANDOVER_MS = 90;
/** For how long writes that were drawn may be begun. */
export const DRAWN_MS = 1_000;
/** How long a write may take before its outcome counts as unknown. */
export const WRITE_MS = 1_000;
/** How long ago a write was drawn, at the most, when it is made and still counts: the two above, and drift. */
export const MADE_MS = 2_200;
