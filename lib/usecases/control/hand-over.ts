import { epochOf } from '#lib/domain/control/acceptor.ts';
import type { Candidate } from '#lib/domain/control/election.ts';
import type { FailoverInput } from '#lib/domain/control/failover.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head, SealOutcome } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { LeaderInDns } from '#lib/ports/leader-record.ts';
import { type Begun, beginChange } from '#lib/usecases/control/change-register.ts';
import { claimEpoch } from '#lib/usecases/control/claim.ts';
import { coverShards } from '#lib/usecases/control/cover-shards.ts';
import { choose, hear } from '#lib/usecases/control/elect.ts';
import {
  type ClaimResult,
  decided,
  type ElectResult,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type FenceResult,
  type PromoteResult,
  patiently,
  type Refused,
  type RepointResult,
  type YieldResult,
} from '#lib/usecases/control/failover-deps.ts';
import { fenceOld } from '#lib/usecases/control/fence.ts';
import { type Fit, fitSuccessor } from '#lib/usecases/control/fit-successor.ts';
import { promoteWinner } from '#lib/usecases/control/promote.ts';
import { type SentAhead, sendAhead } from '#lib/usecases/control/send-ahead.ts';
import { giveUpLease, lastWrites } from '#lib/usecases/control/yield.ts';
import { relay } from '#lib/usecases/relay.ts';

type Claimed = Extract<ClaimResult, { readonly outcome: 'claimed' }>;
type Yielded = Extract<YieldResult, { readonly outcome: 'yielded' }>;

/**
 * - handed-over: the successor is promoted. What it took is in the steps' own results, as far as this process has made them.
 * - claimed: the epoch is claimed and the leader has given up its lease, but the rest did not go at once. The workflow goes
 *   on step by step.
 * - refused: nothing was stopped (`stopped` false), or what was has to be taken back.
 */
export type HandoverResult =
  | {
      readonly outcome: 'handed-over';
      readonly yield?: Yielded;
      readonly claim?: Claimed;
      readonly fence?: FenceResult;
      readonly elect: ElectResult;
      readonly promote: PromoteResult;
      /** The change of DNS, to be waited for; absent where it did not go at once. */
      readonly repoint?: RepointResult;
    }
  | { readonly outcome: 'claimed'; readonly claim: Claimed; readonly yield: YieldResult }
  | (Refused & { readonly stopped: boolean });

/**
 * A switchover, from the leader's consent to the successor's promotion, in one step: while nobody may write, all that does
 * not depend on each other is done at the same time, and whatever can be found out beforehand is, so that a successor that
 * is not fit costs no pause. Runs in the leader's Region, by whose clock its last writes are waited for.
 *
 * The successor is named while the rest of the leader's log is on its way to it; it leads once its log and its store hold it.
 */
export async function handOver(deps: FailoverDeps, given: FailoverState): Promise<HandoverResult> {
  const prepared = await fitSuccessor(deps, given);
  if (prepared.outcome === 'handed-over') return prepared;
  // Writes go on meanwhile.
  const begun = await beginChange(deps);
  const consent = prepared.outcome === 'fit' ? await giveUpLease(deps, prepared.state) : prepared;
  if (consent.outcome === 'refused') {
    const stopped = await hasStopped(deps, given);
    return decided(deps, given, 'yield', { ...given.input }, { ...consent, stopped });
  }
  const state = prepared.outcome === 'fit' ? prepared.state : given;
  const over = Promise.withResolvers<void>();
  let onward: Begun | undefined;
  const claiming = claimEpoch(deps, state, {
    begun,
    by: consent.by,
    onOver: over.resolve,
    onward: (next) => {
      onward = next;
    },
  });
  const ahead = prepared.outcome === 'fit' ? sendingTo(deps, prepared) : undefined;
  ahead?.send();
  // Nothing more is appended there in the name of the epoch that is over. Whoever has claimed the next one will append.
  claiming.then(
    ({ outcome }) => outcome === 'claimed' && over.resolve(),
    () => {},
  );
  const sealing = over.promise.then(() => sealSuccessor(deps, state));
  const cover = prepared.outcome === 'fit' ? prepared.cover : await coverShards(deps);
  const yielding = lastWrites(deps, consent.by, cover);
  yielding.then(
    () => ahead?.send(),
    () => {},
  );
  const [claim, yielded, started] = await Promise.all([
    claiming,
    yielding,
    claiming.then(
      (claimed) => ahead && begin(deps, { ...state, claim: claimed }, { ahead, onward, sealing, yielding }),
    ),
  ]);
  // It is written down meanwhile.
  const noted = decided(deps, state, 'yield', { ...state.input }, yielded);
  const known = { ...state, claim, yield: yielded };
  const fit = prepared.outcome === 'fit' ? { ...prepared, asked: given.input } : undefined;
  const result = await goOn(deps, known, fit, started);
  await noted;
  return result;
}

/** What is left once the last writes are in the log, as far as there is anything to do. */
async function goOn(
  deps: FailoverDeps,
  state: FailoverState & { readonly claim: ClaimResult; readonly yield: YieldResult },
  fit: (Fit & { readonly asked: FailoverInput }) | undefined,
  begun: ReturnType<typeof begin>,
): Promise<HandoverResult> {
  const { claim, yield: yielded } = state;
  if (yielded.outcome === 'refused') return { ...yielded, stopped: true };
  if (claim.outcome !== 'claimed') {
    const why = 'why' in claim ? claim.why : `epoch ${claim.epoch} has been claimed by another run`;
    return { outcome: 'refused', code: 'FAILOVER_REFUSED', why, stopped: true };
  }
  const rest = fit && (await finish(deps, state, fit, begun));
  return rest === undefined
    ? { outcome: 'claimed', claim, yield: yielded }
    : { outcome: 'handed-over', claim, yield: yielded, ...rest };
}

/** Has a try before this one given the lease up, and come no further? */
async function hasStopped({ acceptors, region }: FailoverDeps, { input }: FailoverState): Promise<boolean> {
  const own = await acceptors.of(region).read();
  const isCast = own.vote === input.epoch && own.voteBy?.startsWith(`${input.run}/`) === true;
  return isCast && epochOf(own) <= input.epoch;
}

/** Sends what is logged to the successor from the moment that writes stop, whoever will append it there. */
function sendingTo({ peers, region }: FailoverDeps, { end, state }: Fit): SentAhead {
  return sendAhead(peers.log(region), peers.log(state.input.successor!), end);
}

async function sealSuccessor(deps: FailoverDeps, state: FailoverState): Promise<SealOutcome | undefined> {
  const { successor } = state.input;
  return successor && patiently(deps, deps.peers.log(successor).seal(LANE_0, epochOfRun(state)));
}

/** What can be begun once the epoch is claimed, while the last writes are still on their way into the log. */
function begin(
  deps: FailoverDeps,
  state: FailoverState,
  {
    ahead,
    onward,
    sealing,
    yielding,
  }: {
    readonly ahead: SentAhead;
    readonly onward: Begun | undefined;
    readonly sealing: Promise<SealOutcome | undefined>;
    readonly yielding: Promise<YieldResult>;
  },
) {
  if (state.claim?.outcome !== 'claimed') return undefined;
  const { peers, record, region } = deps;
  const epoch = epochOfRun(state);
  // Nothing that counts comes after the last writes.
  const ending = yielding.then((last) =>
    last.outcome === 'yielded' ? peers.log(region).seal(LANE_0, epoch) : undefined,
  );
  const moving = Promise.all([sealing, ending]).then(
    ([sealed, ended]) => sealed && ended && relay(ahead.from, ahead.to, LANE_0, epoch, sealed.head),
  );
  moving.catch(() => {});
  const installing = onward === undefined ? beginChange(deps) : Promise.resolve(onward);
  installing.catch(() => {});
  const named = record && patiently(deps, record.read());
  return { ending, hearing: hear(deps, state), installing, moving, named, sealing };
}

/** Names the successor in DNS as soon as it is promoted. What does not go at once, the workflow's next step sees to. */
async function pointClients(
  deps: FailoverDeps,
  epoch: Epoch,
  successor: RegionId,
  named: Promise<LeaderInDns | undefined> | undefined,
): Promise<RepointResult | undefined> {
  const { record, targetOf } = deps;
  const from = await named;
  if (record === undefined || from === undefined) return undefined;
  const target = targetOf(successor);
  const flipped = await patiently(deps, record.flip(from, { epoch, target }));
  return flipped?.kind === 'submitted' ? { outcome: 'submitted', change: flipped.change, target } : undefined;
}

/** Undefined if it does not go at once: then the workflow goes on from the claim, which may take longer. */
async function finish(
  deps: FailoverDeps,
  state: FailoverState,
  { asked, candidates }: { readonly asked: FailoverInput; readonly candidates: readonly Candidate[] },
  begun: ReturnType<typeof begin>,
) {
  const { region, telemetry } = deps;
  const { successor } = state.input;
  if (begun === undefined || successor === undefined) return undefined;
  try {
    const epoch = epochOfRun(state);
    const [ended, sealed] = await Promise.all([begun.ending, begun.sealing]);
    if (ended === undefined || sealed === undefined) return undefined;
    const { head: end } = ended;
    const fencing = fenceOld(deps, state, successor);
    // The leader is fenced by now: its log is sealed, and a majority has withdrawn its grant, or there would be no claim.
    // The other rungs are for the report.
    const ready = patiently(deps, begun.moving).then((moved) => {
      if (moved?.kind === 'current' && moved.head.chain === end.chain) return;
      throw new Error(`the successor's log did not get the tail: ${moved?.kind ?? 'no answer'}`);
    });
    const drained = { outcome: 'drained', lsn: `${end.lastLsn}` } as const;
    const noted = ready.then(() => decided(deps, state, 'drain', { winner: successor }, drained));
    noted.catch(() => {});
    fencing.catch(() => {});
    const standing = candidates.map((each) => (each.region === region ? endingAt(each, end) : each));
    // As it was asked for: with why each of the others was not taken.
    const { given, result: elected } = await choose(
      deps,
      { ...state, input: asked },
      standing,
      begun.hearing,
    );
    const chosen = decided(deps, { ...state, input: asked }, 'elect', given, elected);
    if (elected.outcome !== 'elected' || elected.winner !== successor) return undefined;
    // It leads once it has the rest of the log: the two travel at the same time.
    const promote = await promoteWinner(
      deps,
      { ...state, elect: elected },
      { leadsFrom: drained.lsn, begun: await begun.installing, done: ready },
    );
    const repoint =
      promote.outcome === 'promoted' ? await pointClients(deps, epoch, successor, begun.named) : undefined;
    await Promise.all([chosen, noted]);
    return { fence: await fencing, elect: elected, promote, ...(repoint && { repoint }) };
  } catch (error) {
    telemetry.event('handover-delayed', { epoch: epochOfRun(state), why: String(error) });
    return undefined;
  }
}

/** The leader's log has ended, and its store holds all of it. */
function endingAt(candidate: Candidate, { lastCommitMs, lastEpoch, lastLsn }: Head): Candidate {
  const end = { lastEpoch, lastLsn, lastCommitMs };
  return { ...candidate, ...end, appliedLsn: lastLsn, appliedCommitMs: lastCommitMs };
}
