import { LANE_0 } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import { advance } from '#lib/domain/lsn.ts';
import { MAX_APPEND, type ReplicaLog } from '#lib/ports/replica-log.ts';
import type { LogWriter } from '#lib/usecases/relay.ts';
import { type LogReader, rememberSegments } from '#lib/usecases/remember-segments.ts';

/** Segments on their way to another Region before anybody knows where its log ends. */
export type SentAhead = {
  /** Sends what has been logged since `known`. */
  readonly send: () => void;
  /** The log that they are of: what was sent is not read from there again. */
  readonly from: LogReader;
  /** The log that they are for: an append finds there what was sent. */
  readonly to: LogWriter;
};

/** Bytes of segments that are kept to be sent, at the most. */
const KEPT_BYTES = 64 << 20;

/** @param known the end of `to` as last seen; older is more work, never wrong. */
export function sendAhead(log: LogReader, to: ReplicaLog, known: Head): SentAhead {
  const from = rememberSegments(log, KEPT_BYTES);
  const sent = new Map<string, ReturnType<ReplicaLog['putSegment']>>();
  const putSegment: ReplicaLog['putSegment'] = (hash, bytes, at) => {
    const name = `${hash}.${at.generation}`;
    const before = sent.get(name);
    if (before !== undefined) return before;
    const put = to.putSegment(hash, bytes, at);
    sent.set(name, put);
    put.catch(() => sent.delete(name));
    return put;
  };
  const send = async () => {
    const entries = await from.entries(LANE_0, advance(known.lastLsn, 1), MAX_APPEND);
    await Promise.all(
      entries.map(async (entry) => putSegment(entry.hash, await from.getSegment(entry), known)),
    );
  };
  return {
    send: () => void send().catch(() => {}),
    from,
    to: {
      putSegment,
      head: (lane) => to.head(lane),
      append: (lane, expected, entries, authority) => to.append(lane, expected, entries, authority),
    },
  };
}
