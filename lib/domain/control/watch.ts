import type { Epoch } from '#lib/domain/lsn.ts';

/** How long a counter has stood still, as one Region has seen it: time counts from its own first look. */
export type Watch = {
  readonly epoch: Epoch;
  readonly counter: number;
  readonly sinceSteadyMs: number;
  readonly sinceWallMs: number;
};

/** A moment on both clocks of a process. */
export type Moment = { readonly steadyMs: number; readonly wallMs: number };

export function momentOf(clock: { now(): number; steadyMs(): number }): Moment {
  return { steadyMs: clock.steadyMs(), wallMs: clock.now() };
}

/** The watch after a look that found `counter`. */
export function look(watch: Watch | undefined, epoch: Epoch, counter: number, at: Moment): Watch {
  if (watch?.epoch === epoch && watch.counter === counter) return watch;
  return { epoch, counter, sinceSteadyMs: at.steadyMs, sinceWallMs: at.wallMs };
}

/**
 * For how long the counter has stood still for certain, ms: by the clock that has moved less, as a process that was
 * frozen may have one that stood still and one that jumped.
 */
export function stillMs(watch: Watch, at: Moment): number {
  return Math.min(at.steadyMs - watch.sinceSteadyMs, at.wallMs - watch.sinceWallMs);
}

/** The most that may have passed since a moment, ms: by the clock that has moved more. */
export function passedMs(since: Moment, at: Moment): number {
  return Math.max(at.steadyMs - since.steadyMs, at.wallMs - since.wallMs);
}

/** What is left of a lease since the beat was sent. Negative once it is over. */
export function leaseLeftMs(sent: Moment, leaseMs: number, at: Moment): number {
  return leaseMs - passedMs(sent, at);
}
