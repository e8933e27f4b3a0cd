import type { LaneId } from '#lib/domain/ids.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';

/**
 * What a log line says of the records that it is about. Capture, relay and apply say it alike, so that the lines of one
 * record are found in every Region: those of its lane whose run holds its LSN. LSNs are decimal text.
 */
export type LogRun = {
  readonly lane: LaneId;
  /** The newest epoch in the run. */
  readonly epoch: Epoch;
  readonly firstLsn: string;
  readonly lastLsn: string;
};

/** The records of a lane after `before`, up to and with `last`. */
export function runAfter(lane: LaneId, epoch: Epoch, before: Lsn | bigint, last: Lsn): LogRun {
  return { lane, epoch, firstLsn: `${before + 1n}`, lastLsn: `${last}` };
}
