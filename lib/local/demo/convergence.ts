import { setTimeout as sleep } from 'node:timers/promises';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Engine } from '#lib/ports/engine.ts';
import { verify } from '#lib/usecases/verify.ts';

/** How long the followers may take to come up or to catch up, ms. */
export const CATCH_UP_MS = 120_000;

/** What a comparison of all replicas found. */
export type Compared = {
  readonly digestsEqual: boolean;
  readonly digests: Readonly<Record<string, string>>;
  readonly items: number;
  /** Where a follower differs, a sentence each. */
  readonly differences: readonly string[];
};

/** The followers have taken their snapshot and follow the log. */
export async function untilFollowing(
  peers: AwsPeers,
  followers: readonly RegionId[],
  signal: AbortSignal,
): Promise<void> {
  await until(signal, 'the followers do not come up', async () => {
    const states = await Promise.all(followers.map((region) => peers.control(region).applyState(LANE_0)));
    return states.every(({ applied, snapshot }) => applied !== undefined && snapshot === undefined);
  });
}

/**
 * Every follower has applied a heartbeat that the leader wrote after this moment: in the embedded cloud, where a
 * table has one shard, all earlier writes are applied with it. A follower that is being copied anew has not caught up.
 */
export async function untilCaughtUp(
  peers: AwsPeers,
  followers: readonly RegionId[],
  signal: AbortSignal,
): Promise<void> {
  const sinceMs = Date.now();
  await until(signal, 'the followers do not catch up', async () => {
    const states = await Promise.all(followers.map((region) => peers.control(region).applyState(LANE_0)));
    return states.every(
      ({ applied, snapshot }) =>
        applied !== undefined && snapshot === undefined && applied.commitMs > sinceMs,
    );
  });
}

export async function until(
  signal: AbortSignal,
  what: string,
  isSo: () => Promise<boolean>,
  boundMs = CATCH_UP_MS,
): Promise<void> {
  const deadline = Date.now() + boundMs;
  while (!(await isSo())) {
    signal.throwIfAborted();
    if (Date.now() > deadline) {
      throw new UnderstudyError(
        'REGION_UNREACHABLE',
        `${what} within ${boundMs / 1000} s`,
        'Look at understudy lag; lower --rate if the machine is busy.',
      );
    }
    await sleep(50);
  }
}

/** Compares the replicas of `followers` with that of `leader`, row by row where they differ. */
export async function compare(
  engine: Engine,
  leader: RegionId,
  followers: readonly RegionId[],
): Promise<Compared> {
  const results = await Promise.all(
    followers.map((region) =>
      verify(engine.digest(leader), engine.digest(region), { rechecks: 0, pause: async () => {} }),
    ),
  );
  const digests = Object.fromEntries(followers.map((region, index) => [region, results[index]!.digest]));
  return {
    digestsEqual: results.every(({ equal }) => equal),
    digests,
    items: results[0]?.rows ?? 0,
    differences: results.flatMap(({ differing, differences }, index) => {
      if (differing === 0) return [];
      const first = differences.slice(0, 3).map(({ key, kind }) => `${key} ${kind}`);
      return [`${followers[index]} differs from ${leader} in ${differing} items: ${first.join(', ')}`];
    }),
  };
}
