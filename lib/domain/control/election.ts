import type { RegionId } from '#lib/domain/ids.ts';
import { type Epoch, LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';

/** A replica whose log was sealed, with what speaks for and against it. Times are Unix ms. */
export type Candidate = {
  readonly region: RegionId;
  /** End of its log. */
  readonly lastEpoch: Epoch;
  readonly lastLsn: Lsn;
  readonly lastCommitMs: number;
  /** End of what its store has applied; absent if there is no position. */
  readonly appliedLsn?: Lsn;
  readonly appliedCommitMs?: number;
  /** A first copy that is not whole yet: its rows may hold changes that its log does not. */
  readonly copying: boolean;
  /** Why its store could not lead: another schema, or nothing to capture from; absent if nothing is known against it. */
  readonly unfit?: string;
  /** Its log and store are known to be a prefix of an earlier leader's. */
  readonly attached: boolean;
  /** It has led an earlier epoch itself: its store may hold what no log does, until it is re-attached. */
  readonly hasLed?: true;
  readonly noFailover: boolean;
  /** Higher is preferred among equals. */
  readonly priority: number;
  /** The lag alarm that is on in its Region; absent if none is, or if nobody knows. */
  readonly lagAlarm?: string;
};

export type Verdict = { readonly region: RegionId; readonly eligible: boolean; readonly why: string };

export type Election = {
  readonly verdicts: readonly Verdict[];
  /** Absent if nobody may be promoted. */
  readonly winner?: RegionId;
  /** The Regions whose log the winner pulls from first: they hold more than its own. */
  readonly pullFrom: readonly RegionId[];
  /** The Regions whose log and store are a prefix of what the winner has pulled: they follow it without a comparison. */
  readonly followers: readonly RegionId[];
};

type Rules = {
  /** Commit time of the newest record that any attached candidate holds is the reference for lag. */
  readonly maxLagMs: number;
  readonly asked?: RegionId;
  readonly force: boolean;
  /** The leader that is being replaced: others pull from it, but it is promoted again only if asked for. */
  readonly replaced?: RegionId;
  /** Where the coordinator is: among equals, the replica there is drained and promoted soonest. */
  readonly near?: RegionId;
};

/**
 * Whom to promote: the eligible candidate with the highest (epoch, LSN), then by priority, then the one that
 * is near the coordinator, then by name. What an
 * ineligible survivor holds beyond that is pulled before the promotion, so nothing that survived is lost; but never
 * from a log that is not attached, which may have parted from the others.
 *
 * A lag alarm takes a replica off the candidates as long as there is another. It must not leave nobody: it is on in
 * every follower once the leader has been away for a while, as then nobody knows how far behind they are.
 *
 * Where nobody is eligible, first the leader that is replaced may lead again, as it answers; then one whose store lags:
 * it is brought up to the others before it is promoted, however long that takes. Of those, the replaced leader comes last.
 *
 * @param rules `asked`: the one that an operator wants; it is still refused if it is not eligible, unless forced.
 */
export function elect(candidates: readonly Candidate[], rules: Rules): Election {
  const attached = candidates.filter((each) => each.attached);
  const ends: Ends = {
    newestMs: Math.max(0, ...attached.map(({ lastCommitMs }) => lastCommitMs)),
    lsn: attached.toSorted(byPosition)[0]?.lastLsn ?? LSN_ZERO,
  };
  const { replaced: _, ...again } = rules;
  const tries = [
    { ...rules, heeding: true },
    rules,
    again,
    ...(rules.asked === undefined ? [rules, again].map((each) => ({ ...each, lagging: true })) : []),
  ];
  const all = tries.map((each) => candidates.map((candidate) => judge(candidate, ends, each)));
  const verdicts = all.find((each) => each.some(({ eligible }) => eligible)) ?? all[2]!;
  const eligible = candidates.filter(({ region }) =>
    verdicts.some((each) => each.region === region && each.eligible),
  );
  const winner = eligible.toSorted((a, b) => byPosition(a, b) || nearest(a, b, rules.near))[0];
  if (winner === undefined) return { verdicts, pullFrom: [], followers: [] };
  // Only logs that are prefixes of one fit together.
  const pullFrom = candidates.filter((each) => winner.attached && each.attached && isAhead(each, winner));
  const furthest = pullFrom.toSorted(byPosition)[0] ?? winner;
  return {
    verdicts,
    winner: winner.region,
    pullFrom: pullFrom.toSorted(byPosition).map(({ region }) => region),
    followers: candidates
      .filter((each) => each !== winner && winner.attached && isPrefix(each, furthest))
      .map(({ region }) => region),
  };
}

/** Where the logs end that fit together: commit time of the newest record, Unix ms, and the highest LSN. */
type Ends = { readonly newestMs: number; readonly lsn: Lsn };

/** @param rules `heeding`: one whose lag alarm is on may not lead. `lagging`: a store that lags may lead too. */
function judge(
  candidate: Candidate,
  ends: Ends,
  rules: Rules & { readonly heeding?: boolean; readonly lagging?: boolean },
): Verdict {
  const { lagAlarm, region } = candidate;
  const lagMs = ends.newestMs - (candidate.appliedCommitMs ?? 0);
  const lags =
    lagMs > rules.maxLagMs ? `its store lags by ${lagMs} ms, more than ${rules.maxLagMs} ms` : undefined;
  const alarm = lagAlarm === undefined ? undefined : `the alarm ${lagAlarm} is on`;
  const against =
    reasonAgainst(candidate, ends, rules) ??
    (rules.lagging === true ? undefined : lags) ??
    (rules.heeding === true ? alarm : undefined);
  if (against === undefined) {
    const but = lags ?? alarm;
    const although = but === undefined ? '' : `, although ${but}: nobody else is`;
    return { region, eligible: true, why: `eligible${although}` };
  }
  return rules.force && region === rules.asked
    ? { region, eligible: true, why: `forced, although ${against}` }
    : { region, eligible: false, why: against };
}

function reasonAgainst(candidate: Candidate, ends: Ends, rules: Rules): string | undefined {
  if (rules.asked !== undefined && candidate.region !== rules.asked) return `${rules.asked} was asked for`;
  if (candidate.region === rules.replaced && rules.asked !== candidate.region)
    return 'it is the leader that is replaced';
  if (candidate.noFailover) return 'it is configured as noFailover';
  if (candidate.unfit !== undefined) return `its store could not lead: ${candidate.unfit}`;
  if (!candidate.attached) return 'it is not re-attached yet';
  if (candidate.appliedLsn === undefined) return 'its store has no position yet';
  if (candidate.copying) return 'its first copy of the data is not whole yet';
  // What no log holds, nobody else would ever get; and no drain would end.
  if (candidate.appliedLsn > ends.lsn) return 'its store is ahead of every log that is left';
  return undefined;
}

function isAhead(a: Candidate, b: Candidate): boolean {
  return a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.lastLsn > b.lastLsn);
}

/**
 * Are the log and the store of `each` a prefix of the log of `end`, which is no shorter? Only one leader ever writes an epoch, so
 * of two logs that end in the same one, one is a prefix of the other. A log that ends in an earlier epoch may have parted before.
 */
function isPrefix(each: Candidate, end: Candidate): boolean {
  const { appliedLsn, attached, copying, hasLed, lastEpoch, lastLsn } = each;
  const isStoreWithin = !copying && appliedLsn !== undefined && appliedLsn <= lastLsn;
  return attached && hasLed !== true && isStoreWithin && lastEpoch === end.lastEpoch;
}

function byPosition(a: Candidate, b: Candidate): number {
  if (isAhead(a, b)) return -1;
  if (isAhead(b, a)) return 1;
  return b.priority - a.priority;
}

function nearest(a: Candidate, b: Candidate, near: RegionId | undefined): number {
  if (a.region === near) return -1;
  if (b.region === near) return 1;
  return a.region < b.region ? -1 : 1;
}
