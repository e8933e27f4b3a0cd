import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** What a relay reads of the log that it copies from. */
export type LogReader = Pick<ReplicaLog, 'head' | 'entries' | 'entryAt' | 'getSegment'>;

/**
 * The same log, except that a segment fetched a moment ago is not fetched again: all followers get the newest
 * segments, one after the other. Segments never change, so what is remembered is never stale.
 *
 * @param maxBytes what is remembered at most; the oldest go first.
 */
export function rememberSegments(log: LogReader, maxBytes: number): LogReader {
  const segments = new Map<string, Promise<Uint8Array>>();
  const sizes = new Map<string, number>();
  let total = 0;

  const forget = (hash: string) => {
    total -= sizes.get(hash) ?? 0;
    sizes.delete(hash);
    segments.delete(hash);
  };

  return {
    head: (lane) => log.head(lane),
    entries: (lane, from, limit) => log.entries(lane, from, limit),
    entryAt: (lane, lsn) => log.entryAt(lane, lsn),
    getSegment(entry) {
      const { hash, segment } = entry;
      if (segment !== undefined) return log.getSegment(entry);
      const known = segments.get(hash);
      if (known !== undefined) return known;
      const fetched = log.getSegment(entry).then(
        (bytes) => {
          sizes.set(hash, bytes.length);
          total += bytes.length;
          for (const oldest of sizes.keys()) {
            if (total <= maxBytes) break;
            forget(oldest);
          }
          return bytes;
        },
        (error) => {
          forget(hash);
          throw error;
        },
      );
      segments.set(hash, fetched);
      return fetched;
    },
  };
}
