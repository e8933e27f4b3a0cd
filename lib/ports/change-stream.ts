/** The change stream of the own Region's store. Order, and so what a heartbeat proves, holds within one of its shards. */
export interface ChangeStream {
  /**
   * The shards that no other follows, as far as is known, by their names in the marks of the log. The answer may be old:
   * what was written since is then in a shard that follows one of these.
   */
  newestShards(): Promise<readonly string[]>;
  /**
   * Puts the heartbeats 0 to `count` - 1 of the moment `atMs` into the store, each under a key of its own, which decides
   * the shard that it comes in. One that a busy store has not taken in time is left out, and proves nothing.
   */
  beat(count: number, atMs: number): Promise<void>;
  /** How many heartbeats the store may have. */
  readonly maxBeats: number;
}
