import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** How long a command waits for what a Region says, ms: a person waits for it. */
export const PATIENCE_MS = 3_000;

/** Throws REGION_UNREACHABLE if `answer` takes longer than PATIENCE_MS. */
export function inTime<T>(
  region: RegionId,
  answer: Promise<T>,
  sleep: (ms: number) => Promise<void>,
): Promise<T> {
  return Promise.race([
    answer,
    sleep(PATIENCE_MS).then(() => {
      throw new UnderstudyError(
        'REGION_UNREACHABLE',
        `${region} did not answer in ${PATIENCE_MS} ms`,
        'See whether it is up and whether you may reach its endpoints.',
      );
    }),
  ]);
}
