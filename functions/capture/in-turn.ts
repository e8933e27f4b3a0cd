import { setTimeout as sleep } from 'node:timers/promises';
import { isFailure } from '#lib/domain/errors.ts';

/** Time between two tries to get hold of a source that somebody else reads, ms. */
const PAUSE_MS = 250;

/**
 * Reads a source once whoever reads it is done: the invocation before this one, as a rule, which is about to end. Throws
 * what `read` throws; SLOT_BUSY only if it has not ended in time.
 */
export async function inTurn(read: () => Promise<unknown>, signal: AbortSignal): Promise<void> {
  for (;;) {
    try {
      await read();
      return;
    } catch (error) {
      if (!isFailure(error, 'SLOT_BUSY') || signal.aborted) throw error;
      // Aborted or not, there is one more try, which says what is the matter.
      await sleep(PAUSE_MS, undefined, { signal }).catch(() => {});
    }
  }
}
