import { setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 250;

/** Asks until `look` neither throws nor answers undefined; fails after `boundMs` with its last word. */
export async function eventually<T>(
  what: string,
  boundMs: number,
  look: () => Promise<T | undefined>,
): Promise<T> {
  const end = performance.now() + boundMs;
  for (;;) {
    let last: unknown = 'not yet';
    try {
      const seen = await look();
      if (seen !== undefined) return seen;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      const why = last instanceof Error ? last.message : String(last);
      throw new Error(`not within ${boundMs / 1000} s: ${what} (${why})`, { cause: last });
    }
    await sleep(POLL_MS);
  }
}
