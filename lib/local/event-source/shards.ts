import type { Checkpoints } from '#lib/local/event-source/checkpoint-store.ts';
import type { Shard } from '#lib/local/event-source/stream-reader.ts';

/** What a listing of a stream's shards means for a mapping. */
export type ShardPlan = {
  /** To be processed now: not finished, and their parent is finished or unknown. */
  readonly ready: readonly Shard[];
  /** Known as unfinished, but no longer there. */
  readonly gone: readonly string[];
  /** Finished and no longer there: nothing needs their checkpoint any more. */
  readonly forgotten: readonly string[];
};

/** A child shard is ready only after its parent: a key's records move from one to the other at a split. */
export function planShards(shards: readonly Shard[], checkpoints: Checkpoints): ShardPlan {
  const listed = new Set(shards.map(({ id }) => id));
  const isDone = (id: string) => checkpoints[id]?.finished ?? !listed.has(id);
  const unlisted = Object.entries(checkpoints).filter(([id]) => !listed.has(id));
  return {
    ready: shards.filter(
      ({ id, parentId }) => !checkpoints[id]?.finished && (parentId === undefined || isDone(parentId)),
    ),
    gone: unlisted.filter(([, { finished }]) => !finished).map(([id]) => id),
    forgotten: unlisted.filter(([, { finished }]) => finished).map(([id]) => id),
  };
}
