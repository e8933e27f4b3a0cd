import { LANE_0 } from '#lib/domain/ids.ts';
import { beatenShards } from '#lib/domain/marks.ts';
import type { FailoverDeps } from '#lib/usecases/control/failover-deps.ts';

/**
 * How to find out that each shard of the own stream is captured up to some moment: `beats` heartbeats of that moment come
 * in all `shards`. `unproven`: why there may be others.
 */
export type Cover = {
  readonly shards: readonly string[];
  readonly beats: number;
  readonly unproven?: string;
};

/** Heartbeats for each shard, to begin with: of 64 keys, each of four equal shards gets one but for 4 in 10^8 times. */
const BEATS = 16;
/** How long heartbeats may take through the stream into the log before more are tried, ms. */
const CAPTURE_MS = 3_000;
const POLL_MS = 20;

/**
 * Which key comes in which shard nobody knows beforehand, but the marks of the log tell where a heartbeat has come: so many
 * are written as it takes to reach every shard. A stream of one shard takes one, and no trial.
 */
export async function coverShards(deps: FailoverDeps): Promise<Cover> {
  const { clock, stream } = deps;
  try {
    let shards = await stream.newestShards();
    if (shards.length === 1) return { shards, beats: 1 };
    for (let beats = BEATS * shards.length; ; beats *= 2) {
      const count = Math.min(beats, stream.maxBeats);
      const sinceMs = clock.now();
      await stream.beat(count, sinceMs);
      const beaten = await untilBeaten(deps, shards, sinceMs);
      const left = shards.filter((shard) => !beaten.has(shard));
      if (left.length === 0) return { shards, beats: count };
      if (beats >= stream.maxBeats) {
        const why = `${left.length} of the ${shards.length} shards of its stream showed none of ${count} heartbeats`;
        return { shards: shards.filter((shard) => beaten.has(shard)), beats: count, unproven: why };
      }
      // A shard may have ended meanwhile.
      shards = await stream.newestShards();
    }
  } catch (error) {
    return { shards: [], beats: 1, unproven: `the shards of its stream are not known: ${error}` };
  }
}

async function untilBeaten(
  { clock, peers, region, sleep }: FailoverDeps,
  shards: readonly string[],
  sinceMs: number,
): Promise<ReadonlySet<string>> {
  for (;;) {
    const { marks } = await peers.log(region).head(LANE_0);
    const beaten = beatenShards(marks, region, sinceMs);
    if (shards.every((shard) => beaten.has(shard)) || clock.now() - sinceMs > CAPTURE_MS) return beaten;
    await sleep(POLL_MS);
  }
}
