import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type Lag, lagOf, type Position } from '#lib/domain/lag.ts';
import type { Head } from '#lib/domain/log.ts';
import type { GroupConfig, Leadership } from '#lib/domain/topology.ts';
import type { SnapshotProgress } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';

/** Where a Region stands. What could not be learnt is absent, and counts as a breach. */
export type RegionLag = {
  readonly region: RegionId;
  readonly role: 'leader' | 'follower';
  /** Leader: end of its log, i.e. what is captured. Follower: end of its log, i.e. what is durable there. */
  readonly end?: Position;
  /** Follower: what its store has. */
  readonly applied?: Position;
  readonly snapshot?: SnapshotProgress;
  readonly durableLag?: Lag;
  readonly appliedLag?: Lag;
  /** Leader: age of the newest captured change, ms. */
  readonly captureAgeMs?: number;
  /** Why something is missing. */
  readonly error?: string;
};

/** Measures lag for `regions` of a group, all at a time. A Region that does not answer is reported, not thrown. */
export async function measureLag(
  deps: { readonly group: GroupConfig; readonly peers: GroupPeers; readonly nowMs: () => number },
  role: Leadership,
  regions: readonly RegionId[] = deps.group.regions.map(({ name }) => name),
): Promise<readonly RegionLag[]> {
  const { peers, nowMs } = deps;
  const leaderEnd = async () => endOf(await peers.log(role.leader).head(LANE_0));
  return Promise.all(
    regions.map(async (region): Promise<RegionLag> => {
      if (region === role.leader) {
        return settle({ region, role: 'leader' }, async (known) => {
          known.end = await leaderEnd();
          known.captureAgeMs = Math.max(0, nowMs() - known.end.commitMs);
        });
      }
      return settle({ region, role: 'follower' }, async (known) => {
        known.end = endOf(await peers.log(region).head(LANE_0));
        const { applied, snapshot } = await peers.control(region).applyState(LANE_0);
        if (snapshot) known.snapshot = snapshot;
        if (applied) known.applied = applied;
        // Last: what the leader logs while the follower answers must not look like there already.
        const end = await leaderEnd();
        known.durableLag = lagOf(end, known.end, nowMs());
        // Until a copy is whole, the position says where it began, not what the store has.
        const copying = snapshot !== undefined && snapshot.phase !== 'settle';
        if (applied && !copying) known.appliedLag = lagOf(end, applied, nowMs());
      });
    }),
  );
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Fills in what can be learnt, and says what stood in the way of the rest. */
async function settle(
  known: Mutable<RegionLag>,
  learn: (known: Mutable<RegionLag>) => Promise<void>,
): Promise<RegionLag> {
  try {
    await learn(known);
  } catch (error) {
    known.error = error instanceof Error ? error.message : String(error);
  }
  return known;
}

function endOf(head: Head): Position {
  return { lsn: head.lastLsn, totalBytes: head.totalBytes, commitMs: head.lastCommitMs };
}
