import { LANE_0 } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { ApplyLease, ApplyState } from '#lib/ports/control.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** The end of what two logs have in common. */
export type Common =
  /** `entry` is absent where the own log is empty. */
  | { readonly kind: 'found'; readonly upTo: Lsn; readonly entry?: Entry }
  /** The logs have nothing in common, or one no longer reaches back to where they part. */
  | { readonly kind: 'unknown' };

/** Of a Region that is taken back, and of the leader that it is to follow; `head` is that of the own log. */
export type Logs = {
  readonly own: ReplicaLog;
  readonly leader: ReplicaLog;
  readonly head: Head;
  readonly common: Common;
};

/** Logs that are known to part somewhere, or not at all. */
export type Parted = Logs & { readonly common: Extract<Common, { readonly kind: 'found' }> };

/** The right to move a store, with what its applier knew. */
export type Held = { readonly lease: ApplyLease; readonly state: ApplyState };

/** What a store has applied that was taken back to the end of `entry`; undefined if it has applied nothing of the log. */
export async function positionAt(
  own: ReplicaLog,
  entry: Entry | undefined,
  led: Epoch | undefined,
): Promise<ApplyState | undefined> {
  if (entry === undefined) return undefined;
  // What this Region has logged itself its store has; what another leader's log has brought since it has not.
  const at = led === undefined ? entry : await endOf(own, entry, led);
  if (at === undefined) return undefined;
  const { epoch, totalBytes, maxCommitMs } = at;
  return { applied: { lsn: lastOf(at), epoch, totalBytes, commitMs: maxCommitMs } };
}

/** The newest entry of `epoch` or an earlier one, from `entry` back. */
export async function endOf(own: ReplicaLog, entry: Entry, epoch: Epoch): Promise<Entry | undefined> {
  let at: Entry | undefined = entry;
  while (at !== undefined && at.epoch > epoch) at = await own.entryAt(LANE_0, advance(at.first, -1));
  return at;
}
