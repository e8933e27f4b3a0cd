import { LAG_ALARMS, lagAlarmIn } from '#lib/domain/alarms.ts';
import type { Acceptor } from '#lib/domain/control/acceptor.ts';
import { type Candidate, elect } from '#lib/domain/control/election.ts';
import { heardEnd, type Loss, lossOf, UNKNOWN } from '#lib/domain/control/loss.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { EPOCH_ZERO } from '#lib/domain/lsn.ts';
import { isAttached, newestOf, type Role } from '#lib/domain/topology.ts';
import {
  decided,
  type ElectResult,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  PATIENCE_MS,
  patiently,
} from '#lib/usecases/control/failover-deps.ts';
import { type Answers, gather } from '#lib/usecases/control/gather.ts';
import { standingOf } from '#lib/usecases/control/standing.ts';

/** How long the election waits for CloudWatch, ms: less than for anything that it can't do without. */
const ALARMS_MS = 200;

/** Finds the replica to promote among the sealed logs, and the most that its promotion may lose. */
export async function electLeader(deps: FailoverDeps, state: FailoverState): Promise<ElectResult> {
  const sealed = state.fence?.outcome === 'fenced' ? state.fence.seals.filter((each) => each.sealed) : [];
  const regions = sealed.map(({ region }) => region);
  const hearing = hear(deps, state);
  const candidates = await candidatesIn(deps, state, regions);
  if (elect(candidates, rulesOf(deps, state)).winner !== undefined) {
    return electAmong(deps, state, candidates, hearing);
  }
  // The fence waits for nobody who is far away. Before there is no leader at all, whoever answers now counts, too.
  const late = await sealLate(deps, state, regions);
  return electAmong(deps, state, await candidatesIn(deps, state, [...regions, ...late]), hearing);
}

/** What decides an election, but for the candidates. */
export function rulesOf(deps: FailoverDeps, { claim, input }: FailoverState) {
  return {
    maxLagMs: deps.profile.maxLagMs,
    force: input.force === true,
    ...(input.successor === undefined ? {} : { asked: input.successor }),
    ...(claim?.outcome === 'claimed' ? { replaced: claim.from } : {}),
    near: deps.region,
  };
}

async function electAmong(
  deps: FailoverDeps,
  state: FailoverState,
  candidates: readonly Candidate[],
  hearing: Hearing,
): Promise<ElectResult> {
  const { given, result } = await choose(deps, state, candidates, hearing);
  return decided(deps, state, 'elect', given, result);
}

/** The election's outcome, and what it goes by, before it is noted: see `decided`. */
export async function choose(
  deps: FailoverDeps,
  state: FailoverState,
  candidates: readonly Candidate[],
  hearing: Hearing,
): Promise<{ readonly given: unknown; readonly result: ElectResult }> {
  const rules = rulesOf(deps, state);
  const election = elect(candidates, rules);
  const reports = candidates.map((each) => {
    const verdict = election.verdicts.find(({ region }) => region === each.region)!;
    return {
      region: each.region,
      epoch: each.lastEpoch,
      lsn: `${each.lastLsn}`,
      appliedLsn: each.appliedLsn === undefined ? null : `${each.appliedLsn}`,
      eligible: verdict.eligible,
      why: verdict.why,
    };
  });
  const given = { candidates: candidates.map(plain), rules };
  if (election.winner === undefined) return { given, result: { outcome: 'none', candidates: reports } };
  const furthest = candidates.find(({ region }) => region === (election.pullFrom[0] ?? election.winner))!;
  const loss = await mostLost(deps, state, furthest, hearing);
  const result = {
    outcome: 'elected',
    winner: election.winner,
    pullFrom: election.pullFrom,
    followers: election.followers,
    candidates: reports,
    rpo: { records: loss.records ?? null, ms: loss.ms ?? null },
  } as const;
  return { given, result };
}

/** Where each of the Regions stands that answer. */
export async function candidatesIn(
  deps: FailoverDeps,
  state: FailoverState,
  regions: readonly RegionId[],
): Promise<readonly Candidate[]> {
  const found = await Promise.all(regions.map((region) => patiently(deps, candidateOf(deps, state, region))));
  const answered = found.filter((each) => each !== undefined);
  const newest = newestOf(answered.map(({ role }) => role));
  return answered.map(({ role, ...each }) => ({ ...each, attached: isAttached(role, each.region, newest) }));
}

/** The other replicas whose logs can be sealed now. */
async function sealLate(
  deps: FailoverDeps,
  state: FailoverState,
  sealed: readonly RegionId[],
): Promise<readonly RegionId[]> {
  const epoch = epochOfRun(state);
  const late = deps.group.regions.map(({ name }) => name).filter((name) => !sealed.includes(name));
  const found = await Promise.all(
    late.map(async (region) => {
      const outcome = await patiently(deps, deps.peers.log(region).seal(LANE_0, epoch));
      return outcome?.head.sealedEpoch === epoch ? [region] : [];
    }),
  );
  return found.flat();
}

async function candidateOf(
  deps: FailoverDeps,
  state: FailoverState,
  region: RegionId,
): Promise<Omit<Candidate, 'attached'> & { readonly role: Role }> {
  const control = deps.peers.control(region);
  const [{ head, state: at }, role, lagAlarm] = await Promise.all([
    standingOf(deps.peers.log(region), control),
    control.role(),
    lagAlarmOf(deps, region),
  ]);
  const { applied, snapshot, unfit } = at;
  const wasLeader = role.leader === region && role.epoch < epochOfRun(state);
  return {
    region,
    lastEpoch: head.lastEpoch,
    lastLsn: head.lastLsn,
    lastCommitMs: head.lastCommitMs,
    ...(wasLeader
      ? { appliedLsn: head.lastLsn, appliedCommitMs: head.lastCommitMs }
      : applied && { appliedLsn: applied.lsn, appliedCommitMs: applied.commitMs }),
    copying: snapshot !== undefined,
    ...((role.leader === region || role.led !== undefined) && { hasLed: true as const }),
    role,
    noFailover: deps.rules.noFailover(region),
    priority: deps.rules.priorityOf(region),
    ...(lagAlarm === undefined ? {} : { lagAlarm }),
    ...(unfit === undefined ? {} : { unfit }),
  };
}

/**
 * The lag alarm that is on in a Region. If CloudWatch does not say so in a moment, the election goes by the positions
 * alone: no failover waits for it.
 */
async function lagAlarmOf(deps: FailoverDeps, region: RegionId): Promise<string | undefined> {
  try {
    const late = deps.sleep(ALARMS_MS).then(() => Promise.reject(new Error(`no answer in ${ALARMS_MS} ms`)));
    return lagAlarmIn(await Promise.race([deps.alarmsOf(region).of(LAG_ALARMS), late]));
  } catch (error) {
    deps.telemetry.event('alarms-unknown', { at: region, why: String(error) });
    return undefined;
  }
}

/** The most that is lost if the log of `furthest` goes on. */
async function mostLost(
  deps: FailoverDeps,
  state: FailoverState,
  furthest: Candidate,
  { all, old }: Hearing,
): Promise<Loss> {
  const { yield: yielded } = state;
  if (yielded?.outcome === 'yielded' && yielded.unproven !== undefined) return UNKNOWN;
  if (holdsAll(state, furthest, await old)) return { records: 0, ms: 0 };
  if (deps.continues === true) return UNKNOWN;
  const { lastEpoch, lastLsn: lsn, lastCommitMs: commitMs } = furthest;
  const epoch = (state.claim?.outcome === 'claimed' ? state.claim.led : undefined) ?? EPOCH_ZERO;
  const from = state.claim?.outcome === 'claimed' ? state.claim.from : undefined;
  const others = [...(await all)].flatMap(([region, item]) => (region === from ? [] : [item]));
  const end = heardEnd(others, epoch, deps.acceptors.members.length);
  const lost = { epoch, end, leaseEndMs: deps.clock.now() };
  return lossOf(lost, { epoch: lastEpoch, lsn, commitMs }, deps.profile.marginMs);
}

/** True if the old leader has said where its log ends, has lent no lease since, and a survivor reaches as far. */
function holdsAll(state: FailoverState, { lastLsn }: Candidate, old: Acceptor | undefined): boolean {
  const { claim, input, yield: yielded } = state;
  if (yielded?.outcome !== 'yielded' || claim?.outcome !== 'claimed') return false;
  return old?.vote === input.epoch && old.voteBy === yielded.by && lastLsn >= BigInt(yielded.lsn);
}

/** What the Regions have heard of the old leader, and what its own item says, which is known first where that is at hand. */
export type Hearing = {
  readonly all: Promise<Answers<Acceptor>>;
  readonly old: Promise<Acceptor | undefined>;
};

/** Asks for it. A switchover whose leader has kept its word waits for that word alone: see `holdsAll`. */
export function hear(deps: FailoverDeps, { claim }: FailoverState): Hearing {
  const from = claim?.outcome === 'claimed' ? claim.from : undefined;
  const isHere = from === deps.region;
  // One that hands over is there to say so, and coordinates; one that was lost holds up nobody.
  const awaited = deps.acceptors.members.filter((region) => region !== from || isHere);
  const all = gather(
    deps,
    (acceptor) => acceptor.read(),
    (each) => awaited.every((region) => each.has(region)),
    { patienceMs: PATIENCE_MS },
  );
  const heard = () => all.then((each) => (from === undefined ? undefined : each.get(from)));
  return { all, old: isHere ? deps.acceptors.of(from).read().catch(heard) : heard() };
}

/** Positions as text: the decision log is JSON. */
function plain({ lastLsn, appliedLsn, ...rest }: Candidate) {
  return {
    ...rest,
    lastLsn: `${lastLsn}`,
    ...(appliedLsn === undefined ? {} : { appliedLsn: `${appliedLsn}` }),
  };
}
