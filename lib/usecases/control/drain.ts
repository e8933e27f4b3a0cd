import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { ApplyState } from '#lib/ports/control.ts';
import { applyLog } from '#lib/usecases/apply.ts';
import {
  type DrainResult,
  decided,
  epochOfRun,
  type FailoverDeps,
  type FailoverState,
  goesOn,
  patiently,
  winnerOf,
} from '#lib/usecases/control/failover-deps.ts';
import { relay } from '#lib/usecases/relay.ts';

/** How long one call of the step works before it tells how far it has come, ms. */
const TURN_MS = 10_000;

/**
 * Brings the winner's log up to what the other survivors hold, then its store up to its log. To do so it takes the
 * apply lease, so that an applier of the epoch before, paused or late, can change nothing any more.
 */
export async function drainWinner(deps: FailoverDeps, state: FailoverState): Promise<DrainResult> {
  const { clock, peers, telemetry } = deps;
  const winner = winnerOf(state);
  const pullFrom = state.elect?.outcome === 'elected' ? state.elect.pullFrom : [];
  const log = peers.log(winner);
  for (const from of pullFrom) {
    // What the election has counted on must be there: if it can't be had any more, somebody else elects anew.
    const pulled = await patiently(deps, relay(peers.log(from), log, LANE_0, epochOfRun(state)));
    if (pulled?.kind !== 'current' && pulled?.kind !== 'ahead') throw unpulled(from, pulled?.kind);
  }
  const control = peers.control(winner);
  const [over, role, head, held] = await Promise.all([
    goesOn(deps, state),
    control.role(),
    log.head(LANE_0),
    control.takeLease(LANE_0),
  ]);
  if (over !== undefined) return decided(deps, state, 'drain', {}, over);
  // A store that can't be drained is elected by force alone: then it is promoted as it is.
  const asItIs = state.input.force === true && !isWhole(held.state, head);
  // A leader that is to lead again has nothing to apply: its data path knows it as the leader.
  if (role.leader !== winner && !asItIs) {
    let at: ApplyState | undefined = held.state;
    if (!hasDrained(at, head)) {
      const until = clock.now() + TURN_MS;
      const applied = await applyLog(
        { region: winner, peers, control, storeOf: (leader) => deps.storeOf(winner, leader), telemetry },
        () => clock.now() < until,
        { ...held, epoch: role.epoch },
      );
      at = applied?.state;
    }
    if (at === undefined || !hasDrained(at, head)) {
      return decided(
        deps,
        state,
        'drain',
        { winner },
        {
          outcome: 'draining',
          lsn: `${(at ?? held.state).applied?.lsn ?? 0n}`,
          target: `${head.lastLsn}`,
        },
      );
    }
  }
  return decided(deps, state, 'drain', { winner }, { outcome: 'drained', lsn: `${head.lastLsn}` });
}

/** Does the store hold all that the log does, which ends at `head`? */
export function hasDrained(at: ApplyState, head: Head): boolean {
  return isWhole(at, head) && at.applied?.lsn === head.lastLsn;
}

/** Can the store be brought to where its log ends, by the log alone? */
export function isWhole({ applied, snapshot }: ApplyState, head: Head): boolean {
  return snapshot === undefined && applied !== undefined && applied.lsn <= head.lastLsn;
}

function unpulled(region: RegionId, why = 'no answer'): UnderstudyError {
  return new UnderstudyError(
    why === 'diverged' ? 'LOG_DIVERGED' : 'REGION_UNREACHABLE',
    `${region} holds records that the new leader lacks and can't get (${why})`,
    'Try again; if it is lost for good, the failover that takes over from this one does without it.',
  );
}
