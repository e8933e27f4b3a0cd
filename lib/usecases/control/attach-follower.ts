import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Leadership } from '#lib/domain/topology.ts';
import { isWhole } from '#lib/usecases/control/drain.ts';
import type { FailoverDeps } from '#lib/usecases/control/failover-deps.ts';

/**
 * Lets a Region follow a new leader at once, where the election has found its log and store to be a prefix of what that
 * leader holds: there is nothing to compare or to take back, and should the new leader die now, this Region may replace it.
 */
export async function attachFollower(
  { peers }: Pick<FailoverDeps, 'peers'>,
  region: RegionId,
  next: Leadership,
): Promise<void> {
  const control = peers.control(region);
  await control.nameLeader(next);
  // From here on, nothing that was begun before the epoch moves the store: a copy of the leader before would make it another.
  const { state } = await control.takeLease(LANE_0);
  if (isWhole(state, await peers.log(region).head(LANE_0))) await control.attach(next.epoch);
}
