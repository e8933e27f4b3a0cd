import { lagAlarmIn } from '#lib/domain/alarms.ts';
import { majorityOf } from '#lib/domain/control/acceptor.ts';
import { type Candidate, elect, type Verdict } from '#lib/domain/control/election.ts';
import { heardEnd, type Loss, lossOf, UNKNOWN } from '#lib/domain/control/loss.ts';
import { type ApiCall, callsOf, type Resources } from '#lib/domain/control/plan-calls.ts';
import { type Phase, rtoOf } from '#lib/domain/control/plan-rto.ts';
import type { Profile } from '#lib/domain/control/profile.ts';
import type { Register } from '#lib/domain/control/register.ts';
import {
  alarmsOf,
  hasMajority,
  newestBeat,
  type RegionSurvey,
  registerOf,
  type Survey,
  votesAgainst,
} from '#lib/domain/control/survey.ts';
import type { ErrorCode } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { EPOCH_ZERO, type Epoch } from '#lib/domain/lsn.ts';
import { isAttached, type Leadership, newestOf } from '#lib/domain/topology.ts';

export type PlanRequest = {
  readonly kind: 'failover' | 'switchover';
  /** The Region that is to lead; without it, the election decides. */
  readonly asked?: RegionId;
  readonly force: boolean;
};

export type PlanRules = {
  readonly profile: Profile;
  readonly priorityOf: (region: RegionId) => number;
  readonly noFailover: (region: RegionId) => boolean;
  /** Why no automatic failover may happen now. */
  readonly guarded?: string | undefined;
  /** A leader without a lease goes on writing. */
  readonly continues?: boolean;
  readonly resources: Resources;
};

/**
 * What would stand in the way: of any run; of an operator's that begins now, with the leader alive; or of one that no
 * operator has asked for.
 */
export type Refusal = {
  readonly code: ErrorCode;
  readonly why: string;
  readonly stops: 'any' | 'operator' | 'automatic';
};

export type CandidatePlan = Verdict & Pick<Candidate, 'lastEpoch' | 'lastLsn'> & Partial<Candidate>;

/** What a failover or a switchover would do if it began now. */
export type Plan = PlanRequest & {
  /** The epoch that would end. Absent, as all that follows from it, while nobody has been made leader. */
  readonly epoch?: Epoch;
  readonly from?: RegionId;
  /** Where the workflow would run. */
  readonly startIn?: RegionId;
  readonly winner?: RegionId;
  readonly candidates: readonly CandidatePlan[];
  readonly pullFrom: readonly RegionId[];
  /** The most that would be lost if the leader were lost now. */
  readonly rpo: Loss;
  /** A leader that is only cut off goes on writing, so that its log may part from the group's. */
  readonly mayDiverge: boolean;
  /** From the leader's last write to the first at the winner, by phase; ms is undefined where nobody can tell. */
  readonly rto: { readonly ms: number | undefined; readonly phases: readonly Phase[] };
  readonly calls: readonly ApiCall[];
  readonly refusals: readonly Refusal[];
};

/** Plans from positions that were read, not sealed: by the time it runs, all of it is decided anew. */
export function planOf(survey: Survey, request: PlanRequest, rules: PlanRules): Plan {
  const known = registerOf(survey);
  const mayDiverge = rules.continues === true && request.kind === 'failover';
  const nothing = { candidates: [], pullFrom: [], rpo: UNKNOWN, mayDiverge, rto: rtoOf([]), calls: [] };
  if (known === undefined) return { ...request, ...nothing, refusals: [withoutRegister(survey)] };
  const { register } = known;
  const { epoch, leader: from } = register;
  const newest = newestOf(survey.regions.flatMap(({ role }) => role ?? []));
  const candidates = survey.regions.flatMap((each) => candidateOf(each, from, newest, rules) ?? []);
  const election = electionOf(candidates, from, request, rules.profile);
  const { winner, pullFrom } = election;
  const startIn = startOf(survey, request.kind, from, winner);
  const votedOut = votesAgainst(survey, epoch).length >= majorityOf(survey.regions.length);
  return {
    ...request,
    epoch,
    from,
    ...(startIn === undefined ? {} : { startIn }),
    ...(winner === undefined ? {} : { winner }),
    candidates: election.verdicts.map((verdict) => ({
      ...candidates.find(({ region }) => region === verdict.region)!,
      ...verdict,
    })),
    pullFrom,
    rpo:
      request.kind === 'switchover'
        ? { records: 0, ms: 0 }
        : mayDiverge
          ? UNKNOWN
          : rpoOf(survey, register, candidates, rules.profile),
    mayDiverge,
    rto: rtoOf(
      winner === undefined
        ? []
        : [
            {
              kind: request.kind,
              survey,
              from,
              winner,
              votedOut,
              profile: rules.profile,
              ...(rules.resources.record && { record: rules.resources.record }),
              ...(rules.resources.register && { register: rules.resources.register }),
            },
          ],
    ),
    calls:
      winner === undefined || startIn === undefined
        ? []
        : callsOf({
            kind: request.kind,
            epoch,
            members: survey.regions.map(({ region }) => region),
            replicas: survey.regions.flatMap(({ region, witness }) => (witness ? [] : [region])),
            from,
            winner,
            startIn,
            pullFrom,
            resources: rules.resources,
          }),
    refusals: refusalsOf(survey, register, request, rules, { election, votedOut }),
  };
}

function candidateOf(
  survey: RegionSurvey,
  leader: RegionId,
  newest: Leadership | undefined,
  { noFailover, priorityOf }: PlanRules,
): Candidate | undefined {
  const { region, head, role, applied, copying = false, unfit } = survey;
  if (head === undefined || role === undefined) return undefined;
  const end = { lsn: head.lastLsn, commitMs: head.lastCommitMs };
  const at = region === leader && role.leader === leader ? end : applied;
  const lagAlarm = lagAlarmIn(alarmsOf(survey));
  return {
    region,
    lastEpoch: head.lastEpoch,
    lastLsn: head.lastLsn,
    lastCommitMs: head.lastCommitMs,
    ...(at && { appliedLsn: at.lsn, appliedCommitMs: at.commitMs }),
    copying,
    attached: isAttached(role, region, newest),
    noFailover: noFailover(region),
    priority: priorityOf(region),
    ...(lagAlarm === undefined ? {} : { lagAlarm }),
    ...(unfit === undefined ? {} : { unfit }),
  };
}

/** A forced failover that names nobody takes the one that is furthest ahead, if nobody is eligible. */
function electionOf(
  candidates: readonly Candidate[],
  replaced: RegionId,
  { asked, force }: PlanRequest,
  { maxLagMs }: Profile,
) {
  const rules = { maxLagMs, force, replaced, ...(asked === undefined ? {} : { asked }) };
  const election = elect(candidates, rules);
  if (election.winner !== undefined || !force || asked !== undefined) return election;
  const others = candidates.filter(({ region }) => region !== replaced);
  const willing = others.map((each) => ({ ...each, attached: true, noFailover: false, copying: false }));
  const furthest = elect(
    willing.map((each) => ({ appliedLsn: each.lastLsn, appliedCommitMs: each.lastCommitMs, ...each })),
    { maxLagMs: Number.POSITIVE_INFINITY, force: false },
  ).winner;
  return furthest === undefined ? election : elect(candidates, { ...rules, asked: furthest });
}

/** As if the leader were lost with all that only it has; a leader that is cut off may write until its lease is over. */
function rpoOf(
  survey: Survey,
  register: Register,
  candidates: readonly Candidate[],
  { marginMs }: Profile,
): Loss {
  const { leader } = register;
  const epoch = register.phase === 'leading' ? register.epoch : (register.led ?? EPOCH_ZERO);
  const survivors = candidates.filter(({ region }) => region !== leader);
  const furthest = survivors.toSorted((a, b) => (a.lastLsn < b.lastLsn ? 1 : -1))[0];
  if (furthest === undefined) return UNKNOWN;
  const others = survey.regions.filter(({ region }) => region !== leader);
  const heard = others.flatMap(({ acceptor }) => acceptor ?? []);
  const { lastEpoch, lastLsn: lsn, lastCommitMs: commitMs } = furthest;
  return lossOf(
    {
      epoch,
      end: heardEnd(heard, epoch, survey.regions.length),
      leaseEndMs: Math.max(survey.atMs, newestBeat(survey, epoch)?.leaseUntilMs ?? 0),
    },
    { epoch: lastEpoch, lsn, commitMs },
    marginMs,
  );
}

/** A switchover runs at the leader; a failover never does, and best where the winner is. */
function startOf(
  { regions }: Survey,
  kind: PlanRequest['kind'],
  leader: RegionId,
  winner: RegionId | undefined,
): RegionId | undefined {
  if (kind === 'switchover') return leader;
  if (winner !== undefined && winner !== leader) return winner;
  return regions.find(
    ({ acceptor, region, witness }) => acceptor !== undefined && region !== leader && witness !== true,
  )?.region;
}

function withoutRegister(survey: Survey): Refusal {
  if (!hasMajority(survey)) return unavailable();
  return { code: 'GROUP_NOT_FOUNDED', why: 'the group has no leader yet', stops: 'any' };
}

function unavailable(): Refusal {
  const why = 'no majority of the Regions answers, so no epoch can be claimed';
  return { code: 'REGISTER_UNAVAILABLE', why, stops: 'any' };
}

function refusalsOf(
  survey: Survey,
  register: Register,
  { kind, asked }: PlanRequest,
  { guarded, profile, resources }: PlanRules,
  { election, votedOut }: { readonly election: ReturnType<typeof elect>; readonly votedOut: boolean },
): readonly Refusal[] {
  const { epoch, leader, phase } = register;
  const { winner } = election;
  const found: Refusal[] = [];
  const refuse = (code: ErrorCode, why: string, stops: Refusal['stops'] = 'any') =>
    found.push({ code, why, stops });
  if (survey.regions.length < 3) {
    refuse('REGIONS_TOO_FEW', 'two Regions cannot outvote a lost one: add a replica or a witness');
  }
  if (!hasMajority(survey)) found.push(unavailable());
  if (kind === 'switchover') {
    if (asked === leader) refuse('CONFIG_INVALID', `${leader} leads already`);
    if (phase !== 'leading') refuse('PLAN_STALE', `epoch ${epoch} has no leader yet (${phase})`);
    const at = survey.regions.find(({ region }) => region === leader);
    if (at?.acceptor === undefined) {
      refuse('REGION_UNREACHABLE', `${leader} does not answer, and a switchover needs its consent`);
    }
  } else if (!votedOut) {
    const votes = votesAgainst(survey, epoch).length;
    const need = majorityOf(survey.regions.length);
    refuse(
      'FAILOVER_REFUSED',
      `${phase === 'leading' ? leader : `the run that claimed epoch ${epoch}`} is alive as far as the Regions know: ${votes} of the ${need} votes that it takes are in force`,
      'operator',
    );
  }
  if (winner === undefined) refuse('NO_CANDIDATE', 'no replica may be promoted');
  if (winner !== undefined && resources.record !== undefined && resources.record.flip !== 'data-plane') {
    if (survey.dns !== undefined && 'error' in survey.dns) {
      refuse('DNS_RECORD_FOREIGN', `the DNS record cannot be read: ${survey.dns.error}`);
    } else if (
      survey.dns !== undefined &&
      'leader' in survey.dns &&
      (survey.dns.leader?.epoch ?? 0) > epoch
    ) {
      refuse('PLAN_STALE', `the DNS record names epoch ${survey.dns.leader?.epoch} already`);
    }
  }
  if (kind === 'failover') {
    if (guarded !== undefined) refuse('FAILOVER_REFUSED', guarded, 'automatic');
    if (profile.approval) {
      refuse('FAILOVER_REFUSED', `profile ${profile.name} waits for a person's approval`, 'automatic');
    }
  }
  return found;
}
