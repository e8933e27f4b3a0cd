import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** For each method to be changed: what to do around the call of the real one. */
export type LogHooks = { readonly [M in keyof ReplicaLog]?: (next: ReplicaLog[M]) => ReplicaLog[M] };

/** The log with some methods wrapped: to let another writer in between two calls, or to lose an answer. */
export function intercepted(log: ReplicaLog, hooks: LogHooks): ReplicaLog {
  const plain: ReplicaLog = {
    putSegment: (...args) => log.putSegment(...args),
    getSegment: (...args) => log.getSegment(...args),
    head: (...args) => log.head(...args),
    entries: (...args) => log.entries(...args),
    entryAt: (...args) => log.entryAt(...args),
    append: (...args) => log.append(...args),
    seal: (...args) => log.seal(...args),
    rebase: (...args) => log.rebase(...args),
    rewind: (...args) => log.rewind(...args),
  };
  return {
    ...plain,
    ...(hooks.putSegment && { putSegment: hooks.putSegment(plain.putSegment) }),
    ...(hooks.getSegment && { getSegment: hooks.getSegment(plain.getSegment) }),
    ...(hooks.head && { head: hooks.head(plain.head) }),
    ...(hooks.entries && { entries: hooks.entries(plain.entries) }),
    ...(hooks.append && { append: hooks.append(plain.append) }),
  };
}

/** Settles never: a call to a Region that is gone. */
export const never = new Promise<never>(() => {});

/** A log that never answers. */
export function silentLog(log: ReplicaLog): ReplicaLog {
  return intercepted(log, {
    head: () => () => never,
    append: () => () => never,
    entries: () => () => never,
    putSegment: () => () => never,
  });
}
