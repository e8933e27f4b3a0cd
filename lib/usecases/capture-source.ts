import type { LaneId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { ChangeSource } from '#lib/ports/change-source.ts';
import { type CaptureDeps, capture } from '#lib/usecases/capture.ts';

/**
 * Logs what a source holds, and confirms to the source only what is in the log. Whoever dies in between leaves the
 * source as it was: it delivers again, and the marks of the head say what is in already.
 *
 * @returns the number of records logged. Throws what `capture` and the source throw.
 */
export async function captureSource<R>(
  deps: CaptureDeps<R>,
  lane: LaneId,
  source: ChangeSource<R>,
  signal: AbortSignal,
): Promise<number> {
  let logged = 0;
  let head: Head | undefined;
  for await (const { records, position } of source.batches(signal)) {
    if (records.length > 0) {
      const captured = await capture(deps, lane, source.shard, records, head);
      logged += captured.logged;
      head = captured.head;
      if (captured.failedFrom !== undefined) break;
    }
    if (position !== undefined) await source.confirm(position);
  }
  return logged;
}
