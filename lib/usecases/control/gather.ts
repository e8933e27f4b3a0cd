import type { RegionId } from '#lib/domain/ids.ts';

/** What a Region answered; absent while it has not, or if the call failed. */
export type Answers<T> = ReadonlyMap<RegionId, T>;

/**
 * Asks all Regions at once and returns as soon as `enough` says so, or when all have answered or failed. A Region that
 * hangs holds up nobody; what it answers later is not looked at.
 */
export function gather<T>(
  regions: readonly RegionId[],
  ask: (region: RegionId) => Promise<T>,
  enough: (answers: Answers<T>) => boolean,
): Promise<Answers<T>> {
  return new Promise((resolve) => {
    const answers = new Map<RegionId, T>();
    let left = regions.length;
    const settle = () => {
      left -= 1;
      if (left === 0 || enough(answers)) resolve(new Map(answers));
    };
    for (const region of regions) {
      ask(region).then(
        (answer) => {
          answers.set(region, answer);
          settle();
        },
        () => settle(),
      );
    }
  });
}
