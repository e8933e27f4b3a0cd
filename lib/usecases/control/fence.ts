import { majorityOf } from '#lib/domain/control/acceptor.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import {
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  type FenceResult,
  goesOn,
  PATIENCE_MS,
  patiently,
  type SealReport,
} from '#lib/usecases/control/failover-deps.ts';

/** How long the old leader's log is waited for beyond the time that the others took, ms. */
const GRACE_MS = 60;

/**
 * Fences the epoch that ends, rung by rung: seals every log that answers, so that no append of it can commit there;
 * finds the lease over, as the majority that let the epoch be claimed had watched it run out; raises the engine's own
 * fence where the old leader can be reached.
 */
export async function fenceOld(deps: FailoverDeps, state: FailoverState): Promise<FenceResult> {
  const epoch = epochOfRun(state);
  const regions = deps.group.regions.map(({ name }) => name);
  const old = state.claim?.outcome === 'claimed' ? state.claim.from : undefined;
  const engineFence =
    old === undefined ? undefined : patiently(deps, deps.fenceOf(old).raise(state.input.epoch));
  const others = regions.filter((region) => region !== old);
  const oldSeal = old === undefined ? undefined : sealLog(deps, old, epoch);
  const began = deps.clock.now();
  const [over, ...sealed] = await Promise.all([
    goesOn(deps, state),
    ...others.map((region) => sealLog(deps, region, epoch)),
  ]);
  if (over !== undefined) return decided(deps, state, 'fence', {}, over);
  // One that is there answers about as soon as the others did; one that is lost holds up nobody.
  const grace = deps.sleep((deps.clock.now() - began) / 2 + GRACE_MS);
  const last =
    old === undefined
      ? []
      : [
          await Promise.race([
            oldSeal!,
            grace.then((): SealReport => ({ region: old, sealed: false, why: 'no answer' })),
          ]),
        ];
  const engine = await Promise.race([engineFence, grace]);
  const seals = [...sealed, ...last];
  const superseding = seals.find((seal) => seal.sealed && seal.epoch > epoch);
  if (superseding?.sealed) {
    return decided(
      deps,
      state,
      'fence',
      { seals },
      {
        outcome: 'superseded',
        epoch: superseding.epoch,
        leader: superseding.region,
      },
    );
  }
  const followers = seals.filter(({ region, sealed }) => sealed && region !== old);
  const rungs = {
    log: followers.length + 1 >= majorityOf(regions.length) ? 'proven' : 'unproven',
    // To claim the epoch took a majority of votes, each cast a lease and a margin after the last beat it had lent to.
    lease: state.claim?.outcome === 'claimed' ? 'proven' : 'unproven',
    engine: engine === 'raised' ? 'proven' : 'unproven',
  } as const;
  const result: FenceResult =
    followers.length === 0
      ? { outcome: 'unproven', waitSeconds: 1, why: 'no log of a follower could be sealed' }
      : { outcome: 'fenced', seals, rungs };
  return decided(deps, state, 'fence', { patienceMs: PATIENCE_MS }, result);
}

async function sealLog(
  deps: FailoverDeps,
  region: RegionId,
  epoch: ReturnType<typeof epochOfRun>,
): Promise<SealReport> {
  const sealed = await patiently(deps, deps.peers.log(region).seal(LANE_0, epoch));
  if (sealed === undefined) return { region, sealed: false, why: 'no answer' };
  return { region, sealed: true, epoch: sealed.head.sealedEpoch, lsn: `${sealed.head.lastLsn}` };
}
