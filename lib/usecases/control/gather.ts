import type { RegionId } from '#lib/domain/ids.ts';
import type { AcceptorStore, Acceptors } from '#lib/ports/acceptor-store.ts';

/** What a Region answered; absent while it has not, or if the call failed. */
export type Answers<T> = ReadonlyMap<RegionId, T>;

/** A Region that is asked once the answers of the others are so. */
export type Last<T> = { readonly region: RegionId; readonly after: (answers: Answers<T>) => boolean };

/** How long a Region may take to answer, ms; several times the longest round trip between two of them. */
const ANSWER_MS = 1_000;

/**
 * Asks all Regions at once and returns as soon as `enough` says so, or when all have answered or failed, or when
 * `patienceMs` is over. A Region that hangs holds up nobody; what it answers later is not looked at.
 */
export function gather<T>(
  deps: { readonly acceptors: Acceptors; readonly sleep: (ms: number) => Promise<void> },
  ask: (acceptor: AcceptorStore, region: RegionId) => Promise<T>,
  enough: (answers: Answers<T>) => boolean,
  {
    last,
    patienceMs = ANSWER_MS,
  }: { readonly last?: Last<T> | undefined; readonly patienceMs?: number } = {},
): Promise<Answers<T>> {
  const { acceptors } = deps;
  return new Promise((resolve) => {
    const answers = new Map<RegionId, T>();
    const waiting = new Set(acceptors.members);
    let left = 0;
    const end = () => resolve(new Map(answers));
    const send = () => {
      for (const region of waiting) {
        if (region === last?.region && !last.after(answers)) continue;
        waiting.delete(region);
        left += 1;
        ask(acceptors.of(region), region).then(
          (answer) => {
            answers.set(region, answer);
            settle();
          },
          () => settle(),
        );
      }
    };
    const settle = () => {
      left -= 1;
      send();
      if (left === 0 || enough(answers)) end();
    };
    send();
    if (left === 0) end();
    else void deps.sleep(patienceMs).then(end);
  });
}

/** How many of the answers are so. */
export function countOf<T>(answers: Answers<T>, isSo: (answer: T, region: RegionId) => boolean): number {
  return [...answers].filter(([region, answer]) => isSo(answer, region)).length;
}
