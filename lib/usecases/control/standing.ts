import { LANE_0 } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { ApplyState, Control } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** Where a log ends, and what the store that follows it holds. */
export type Standing = { readonly head: Head; readonly state: ApplyState };

/**
 * Where the log of a Region ends, and what its store holds. While the log goes on, so does the store: a position that was read
 * later than the head may be beyond it, and then the head is read again. A store that is ahead of its log even so holds what
 * the log has not.
 */
export async function standingOf(
  log: Pick<ReplicaLog, 'head'>,
  control: Pick<Control, 'applyState'>,
): Promise<Standing> {
  const [head, state] = await Promise.all([log.head(LANE_0), control.applyState(LANE_0)]);
  const isAhead = state.applied !== undefined && state.applied.lsn > head.lastLsn;
  return { head: isAhead ? await log.head(LANE_0) : head, state };
}
