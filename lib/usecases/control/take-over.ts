import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';
import type { Applied } from '#lib/ports/control.ts';
import type { TransactionRewinder } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { endOf, type Held, type Logs, type Parted, positionAt } from '#lib/usecases/control/parted-logs.ts';

/**
 * The changes of a transaction that the group will never have whole, although the logs have its beginning in common.
 *
 * @param led the epoch that the Region led itself, if it did.
 */
export async function tornOf(
  rewinder: TransactionRewinder,
  { own, common }: Logs,
  led: Epoch | undefined,
): Promise<readonly DivergentChange[]> {
  if (common.kind === 'unknown' || common.entry === undefined) return [];
  const end = led === undefined ? common.entry : await endOf(own, common.entry, led);
  if (end === undefined) return [];
  const changes: DivergentChange[] = [];
  let from = advance(await rewinder.wholeUpTo(own, lastOf(end), led !== undefined), 1);
  while (from <= lastOf(end)) {
    const entry = await own.entryAt(LANE_0, from);
    if (entry === undefined) break;
    const first = from;
    const read = rewinder.read(await own.getSegment(entry), entry);
    changes.push(...read.filter(({ lsn }) => lsn !== undefined && lsn >= first));
    from = advance(lastOf(entry), 1);
  }
  return changes;
}

/**
 * Takes a store that keeps its position with its rows back from what diverged, in one step.
 *
 * @returns `unknown` where nobody can tell what the store holds.
 */
export async function takeOver(
  deps: {
    readonly rewinder: TransactionRewinder;
    readonly isDue: () => Promise<boolean>;
  },
  { epoch, led }: Role,
  { own, leader, common, head: { marks } }: Parted,
  { lease, state }: Held,
  changes: readonly DivergentChange[],
): Promise<'done' | 'lost' | 'unknown'> {
  const { applied, rewound } = state;
  // A leader's position is that of a time before it led; once its store was taken back, the position tells what it holds.
  const holdsAll = led !== undefined && (rewound?.epoch ?? 0) <= led;
  if (!holdsAll) {
    // An earlier call has brought it onto this leader's log, or it never left it.
    if (applied === undefined || (await isOn(leader, applied))) return 'done';
    // It was brought onto the log of a leader that was lost since.
    if (!(await isOn(own, applied))) return 'unknown';
  }
  const appliedLsn = applied?.lsn ?? 0n;
  const stored = holdsAll ? changes : changes.filter(({ lsn }) => lsn !== undefined && lsn <= appliedLsn);
  if (stored.length === 0 && !holdsAll && appliedLsn <= common.upTo) return 'done';
  const from = (await positionAt(own, common.entry, holdsAll ? led : undefined))?.applied;
  if (from === undefined) return 'unknown';
  return deps.rewinder.takeOver(lease, stored, {
    from,
    led: holdsAll,
    marks,
    log: leader,
    epoch,
    isDue: deps.isDue,
  });
}

/** Is a position one of this log? One leader alone writes an epoch, so the same LSN of the same epoch is the same record. */
async function isOn(log: ReplicaLog, { epoch, lsn }: Applied): Promise<boolean> {
  return lsn === 0n || (await log.entryAt(LANE_0, lsn))?.epoch === epoch;
}
