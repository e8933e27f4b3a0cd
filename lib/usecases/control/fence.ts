import { type Acceptor, epochOf, majorityOf } from '#lib/domain/control/acceptor.ts';
import { judgeFence, type Proof } from '#lib/domain/control/fence.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type FenceResult,
  patiently,
  type SealReport,
  sayOn,
  superseding,
} from '#lib/usecases/control/failover-deps.ts';
import { countOf } from '#lib/usecases/control/gather.ts';

/** How long the old Region is waited for beyond the time that the others took, ms. */
const GRACE_MS = 60;

/**
 * Fences the epoch that ends, rung by rung, all at once: seals every log that answers, looks whether the lease is over,
 * asks the old Region itself, raises the engine's own fence, calls the user's hook. Says of each whether it is proven.
 *
 * @param asking as for `sayOn`.
 */
export async function fenceOld(
  deps: FailoverDeps,
  state: FailoverState,
  asking?: RegionId,
): Promise<FenceResult> {
  const epoch = epochOfRun(state);
  const regions = deps.group.regions.map(({ name }) => name);
  const old = state.claim?.outcome === 'claimed' ? state.claim.from : undefined;
  const rungs = old === undefined ? undefined : askOld(deps, state, old);
  const oldSeal = old === undefined ? undefined : sealLog(deps, old, epoch);
  const began = deps.clock.now();
  const [{ over, votes }, ...sealed] = await Promise.all([
    withdrawn(deps, state, asking),
    ...regions.filter((region) => region !== old).map((region) => sealLog(deps, region, epoch)),
  ]);
  if (over !== undefined) return decided(deps, state, 'fence', {}, over);
  // One that is there answers about as soon as the others did; one that is lost holds up nobody.
  const wasSilent = state.claim?.outcome === 'claimed' && state.claim.silent.includes(state.claim.from);
  const grace = deps.sleep(wasSilent ? 0 : (deps.clock.now() - began) / 2 + GRACE_MS);
  const inGrace = (rung: Promise<Proof> | undefined): Promise<Proof> =>
    Promise.race([rung ?? unproven('there was no leader'), grace.then(() => unproven('no answer in time'))]);
  const oldSealed: readonly SealReport[] =
    old === undefined
      ? []
      : [
          await Promise.race([
            oldSeal!,
            grace.then((): SealReport => ({ region: old, sealed: false, why: 'no answer' })),
          ]),
        ];
  const seals = [...sealed, ...oldSealed];
  const superseding = seals.find((seal) => seal.sealed && seal.epoch > epoch);
  if (superseding?.sealed) {
    const { epoch: newer, region: leader } = superseding;
    return decided(deps, state, 'fence', { seals }, { outcome: 'superseded', epoch: newer, leader });
  }
  const before = state.fence?.outcome === 'unproven' ? state.fence : undefined;
  const waitedSeconds = before === undefined ? 0 : before.waitedSeconds + before.waitSeconds;
  const evidence = {
    seals: sealed.map(({ region, sealed }) => ({ region, sealed })),
    members: deps.acceptors.members.length,
    votes,
    waitedMs: waitedSeconds * 1000,
    leaseAndMarginMs: deps.profile.leaseMs + deps.profile.marginMs,
    watchdog: await inGrace(rungs?.watchdog),
    engine: await inGrace(rungs?.engine),
    // It has a time limit of its own, which is the user's choice.
    host: rungs === undefined ? unproven('there was no leader') : await rungs.host,
  };
  const verdict = judgeFence(evidence);
  const result: FenceResult =
    verdict.kind === 'fenced'
      ? { outcome: 'fenced', seals, rungs: verdict.rungs }
      : {
          outcome: 'unproven',
          rungs: verdict.rungs,
          waitSeconds: Math.ceil(verdict.waitMs / 1000),
          waitedSeconds,
          why: verdict.why,
        };
  return decided(deps, state, 'fence', evidence, result);
}

/** Does the run go on, and how many Regions have withdrawn their grant from the epoch that ends, as they say now? */
async function withdrawn(deps: FailoverDeps, state: FailoverState, asking: RegionId | undefined) {
  const need = majorityOf(deps.acceptors.members.length);
  const hasVoted = ({ vote }: Acceptor) => vote !== undefined && vote >= state.input.epoch;
  const answers = await sayOn(deps, state, (each) => countOf(each, hasVoted) >= need, asking);
  return { over: await superseding(deps, state, answers), votes: countOf(answers, hasVoted) };
}

/** What the Region that is to be fenced can do for it, as far as it is reached. */
function askOld(deps: FailoverDeps, state: FailoverState, old: RegionId) {
  const { acceptors, clock, hostFence, profile } = deps;
  const { input } = state;
  const epoch = epochOfRun(state);
  const silent = (proof: Proof | undefined) => proof ?? unproven(`${old} did not answer`);
  const lookAt = async (): Promise<Proof> => {
    const item = await acceptors.of(old).read();
    const { beat, vote } = item;
    if (epochOf(item) >= epoch || (vote ?? -1) >= input.epoch)
      return proven(`${old} lends it no lease any more`);
    if (beat?.continues) return unproven(`${old} goes on without a lease (onLeaseLost: continue)`);
    return (beat?.leaseUntilMs ?? 0) + profile.marginMs <= clock.now()
      ? proven(`by what ${old} says, its lease is over`)
      : unproven(`by what ${old} says, it holds a lease`);
  };
  const request = {
    group: deps.group.group,
    region: old,
    epoch,
    reason: input.reason ?? `${input.kind}, ${input.trigger}`,
  };
  return {
    watchdog: patiently(deps, lookAt()).then(silent),
    engine: patiently(deps, deps.fenceOf(old).raise(epoch)).then(silent),
    host: hostFence?.fence(request) ?? unproven('no hook is given'),
  };
}

function proven(detail: string): Proof {
  return { proven: true, detail };
}

function unproven(detail: string): Proof {
  return { proven: false, detail };
}

async function sealLog(deps: FailoverDeps, region: RegionId, epoch: Epoch): Promise<SealReport> {
  const sealed = await patiently(deps, deps.peers.log(region).seal(LANE_0, epoch));
  if (sealed === undefined) return { region, sealed: false, why: 'no answer' };
  return { region, sealed: true, epoch: sealed.head.sealedEpoch, lsn: `${sealed.head.lastLsn}` };
}
