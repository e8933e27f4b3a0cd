import type { AlarmState } from '#lib/domain/alarms.ts';
import { type Acceptor, majorityOf } from '#lib/domain/control/acceptor.ts';
import type { Register } from '#lib/domain/control/register.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { type Lag, lagOf, type Position } from '#lib/domain/lag.ts';
import type { Head } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Role } from '#lib/domain/topology.ts';

/** What one Region said of itself, as far as it answered. Times are Unix ms. */
export type RegionSurvey = {
  readonly region: RegionId;
  /** It votes and holds no data: what follows the acceptor is absent. */
  readonly witness?: true;
  /** Why something is missing. */
  readonly error?: string;
  /** Of one request over an open connection, as measured from where the survey was made. */
  readonly roundTripMs?: number;
  readonly acceptor?: Acceptor;
  readonly role?: Role;
  /** End of its log. */
  readonly head?: Head;
  /** What its store has applied. */
  readonly applied?: Position;
  /** A first copy of the leader's store that is not whole yet. */
  readonly copying?: boolean;
  /** Why its store could not lead. */
  readonly unfit?: string;
  readonly divergences?: readonly KnownDivergence[];
  /** A run that waits here for a person. */
  readonly approval?: { readonly run: string; readonly askedAtMs: number };
  /** The try of the newest run's that was made here last, if it failed. */
  readonly failed?: {
    readonly run: string;
    readonly step: string;
    readonly code?: string;
    readonly why: string;
  };
  /** The group's alarms here, or why nobody knows; absent where nobody asked. */
  readonly alarms?: readonly AlarmState[] | { readonly error: string };
};

export type KnownDivergence = {
  readonly epoch: Epoch;
  /** Changes in the saved report; undefined while there is none yet. */
  readonly changes?: number;
  readonly discarded: boolean;
};

/**
 * Did what was collected of an epoch come to nothing? A Region that follows has reported all that it had and the group has
 * not, before it did; so what is not reported by then was none, as heartbeats are.
 */
export function cameToNothing(
  { attached, epoch }: Pick<Role, 'attached' | 'epoch'>,
  divergence: { readonly epoch: Epoch; readonly isReported: boolean },
): boolean {
  return !divergence.isReported && attached === epoch && divergence.epoch < epoch;
}

/** What all Regions of a group said at one time. Nothing is changed by it. */
export type Survey = {
  readonly atMs: number;
  readonly regions: readonly RegionSurvey[];
  /** Absent where no DNS record is configured. */
  readonly dns?:
    | { readonly name: string; readonly leader?: { readonly epoch: Epoch; readonly target: string } }
    /** Where health checks choose: the Regions that its name servers answer with. */
    | { readonly name: string; readonly regions: readonly RegionId[] }
    | { readonly name: string; readonly error: string };
};

/** The newest register that is known: agreed if a majority is known to have accepted it. */
export function registerOf({
  regions,
}: Survey): { readonly register: Register; readonly agreed: boolean } | undefined {
  const accepted = regions.flatMap(({ acceptor }) => acceptor?.accepted ?? []);
  const count = (ballot: string) => accepted.filter((each) => each.ballot === ballot).length;
  const agreed = accepted.find(({ ballot }) => count(ballot) >= majorityOf(regions.length));
  if (agreed !== undefined) return { register: agreed.value, agreed: true };
  const newest = accepted.toSorted((a, b) => (a.ballot < b.ballot ? 1 : -1))[0];
  return newest && { register: newest.value, agreed: false };
}

/** True if so many Regions answered that the register can be changed; one that holds nothing of it counts for nothing. */
export function hasMajority({ regions }: Survey): boolean {
  const answered = regions.flatMap(({ acceptor }) => acceptor ?? []);
  const holders = answered.filter(({ accepted }) => accepted !== undefined);
  return (holders.length > 0 ? holders : answered).length >= majorityOf(regions.length);
}

/** The Regions whose vote against `epoch` is in force. */
export function votesAgainst({ regions }: Survey, epoch: Epoch): readonly RegionId[] {
  return regions.flatMap(({ acceptor, region }) => (acceptor?.vote === epoch ? [region] : []));
}

/** The newest beat of `epoch` that any Region has taken. */
export function newestBeat({ regions }: Survey, epoch: Epoch): Acceptor['beat'] {
  const beats = regions.flatMap(({ acceptor }) => (acceptor?.beat?.epoch === epoch ? [acceptor.beat] : []));
  return beats.toSorted((a, b) => b.counter - a.counter)[0];
}

/** The alarms of a Region as far as they are known. */
export function alarmsOf({ alarms = [] }: RegionSurvey): readonly AlarmState[] {
  return 'error' in alarms ? [] : alarms;
}

/**
 * How far a Region's log, and its store, are behind the leader's log by what both said; absent where that is not
 * known. A survey asks all at once, so what the leader logs meanwhile may be missing from it.
 */
export function lagsOf(
  survey: Survey,
  { applied, copying, head, region, role }: RegionSurvey,
): { readonly durable?: Lag; readonly applied?: Lag } {
  const leader = survey.regions.find((each) => each.region === role?.leader)?.head;
  if (leader === undefined || region === role?.leader) return {};
  const end = positionOf(leader);
  return {
    ...(head && { durable: lagOf(end, positionOf(head), survey.atMs) }),
    ...(applied && copying !== true && { applied: lagOf(end, applied, survey.atMs) }),
  };
}

function positionOf({ lastCommitMs, lastLsn, totalBytes }: Head): Position {
  return { lsn: lastLsn, totalBytes, commitMs: lastCommitMs };
}
