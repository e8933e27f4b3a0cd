import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Entry, type Head, lastOf } from '#lib/domain/log.ts';
import { type Epoch, LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';

/** How far back each Region's log reaches. A day may be a fraction. */
export type RetentionPolicy = {
  /** An entry goes once it is this old, and nobody needs it. */
  readonly days: number;
  /** It goes sooner once the entries after it hold this many bytes of records (before compression). */
  readonly maxBytes?: number;
  /** Nothing as young as this goes, whatever its size: what a restore from a backup of the store needs on top of it. */
  readonly restoreWindowDays: number;
  /** What a replica still needs is kept until it is this old; then the replica must take a new snapshot. */
  readonly holdDays: number;
  /** Between the unlinking of an entry and its deletion. */
  readonly graceHours: number;
};

export const DEFAULT_RETENTION: RetentionPolicy = {
  days: 7,
  restoreWindowDays: 0,
  holdDays: 14,
  graceHours: 24,
};

const DAY_MS = 24 * 3_600_000;
/** The least that each limit may be. */
const LEAST = { days: 0, maxBytes: 1, restoreWindowDays: 0, holdDays: 0, graceHours: 0 } as const;

/** Fills in what is not given. Throws CONFIG_INVALID that names the limit. */
export function parseRetention(input: Partial<RetentionPolicy>): RetentionPolicy {
  const policy: RetentionPolicy = { ...DEFAULT_RETENTION, ...input };
  for (const [name, least] of Object.entries(LEAST)) {
    const value = policy[name as keyof RetentionPolicy];
    if (value === undefined || (Number.isFinite(value) && value >= least)) continue;
    throw invalid(`retention.${name}: ${value} is no limit`, `Give a number of at least ${least}.`);
  }
  if (policy.holdDays < policy.days) {
    throw invalid(
      `retention.holdDays: ${policy.holdDays} is less than retention.days, ${policy.days}`,
      'Hold entries back for a replica at least as long as for none, or set fewer days.',
    );
  }
  return policy;
}

function invalid(what: string, next: string): UnderstudyError {
  return new UnderstudyError('CONFIG_INVALID', what, next);
}

/**
 * What a replica needs of every log of the group: the entry that holds `lsn`, and all that follows. So its own log and
 * the leader's have an entry in common, whoever leads next, and its store can go on from where it is.
 */
export type Need = { readonly region: RegionId; readonly lsn: Lsn; readonly why?: 'silent' | 'not-attached' };

/**
 * The need of a replica, by its head, its role and what its store has applied: of all, if it can't be told. One that
 * is not attached to `epoch` may be taken back to anywhere.
 */
export function needOf(
  region: RegionId,
  epoch: Epoch,
  known?: { readonly head: Head; readonly role: Role; readonly applied?: Lsn },
): Need {
  if (known === undefined) return { region, lsn: LSN_ZERO, why: 'silent' };
  const { applied, head, role } = known;
  if (role.epoch !== epoch || role.attached !== epoch) return { region, lsn: LSN_ZERO, why: 'not-attached' };
  // A leader's store has all that its log has.
  if (role.leader === region || applied === undefined || applied > head.lastLsn) {
    return { region, lsn: head.lastLsn };
  }
  return { region, lsn: applied };
}

/**
 * - keep: by the policy, or because somebody needs it.
 * - free: old or large enough, and nobody needs it.
 * - overdue: somebody needs it, and it has been held back for as long as the policy says.
 */
export type Fate = 'keep' | 'free' | 'overdue';

/**
 * The fate of an entry, given that all before it are gone. Age is that of the log: how much younger its newest record
 * is, or the clock if that is behind. So neither a clock that is ahead nor a log that stands still lets anything go.
 */
export function fateOf(
  entry: Entry,
  head: Head,
  needs: readonly Need[],
  policy: RetentionPolicy,
  nowMs: number,
): Fate {
  const { days, maxBytes = Number.POSITIVE_INFINITY, restoreWindowDays, holdDays } = policy;
  const ageMs = Math.min(head.lastCommitMs, nowMs) - entry.maxCommitMs;
  const isAged = ageMs > days * DAY_MS || Number(head.totalBytes - entry.totalBytes) >= maxBytes;
  // The newest entry says where the log goes on.
  if (!isAged || ageMs <= restoreWindowDays * DAY_MS || lastOf(entry) >= head.lastLsn) return 'keep';
  if (needs.every(({ lsn }) => lsn > lastOf(entry))) return 'free';
  return ageMs > holdDays * DAY_MS ? 'overdue' : 'keep';
}

/** True once what was unlinked may be deleted. */
export function graceIsOver(head: Head, { graceHours }: RetentionPolicy, nowMs: number): boolean {
  return nowMs - head.unlinkedAtMs >= graceHours * 3_600_000;
}
