/** How far a mapping has come in a shard. */
export type Checkpoint = {
  /** Sequence number of the last record that was settled; absent before the first. */
  readonly sequence?: string;
  /** The shard is closed and everything in it is settled. */
  readonly finished: boolean;
};

/** One checkpoint per shard. */
export type Checkpoints = Readonly<Record<string, Checkpoint>>;

/** Where the checkpoints of event source mappings outlive their process. */
export interface CheckpointStore {
  /** Nothing for a mapping that was never saved. */
  load(mapping: string): Promise<Checkpoints>;
  /** Resolves once these, or later ones, would be loaded by a new process. */
  save(mapping: string, checkpoints: Checkpoints): Promise<void>;
}

/** Checkpoints in memory. */
export class MemoryCheckpointStore implements CheckpointStore {
  readonly #saved = new Map<string, Checkpoints>();

  async load(mapping: string): Promise<Checkpoints> {
    return this.#saved.get(mapping) ?? {};
  }

  async save(mapping: string, checkpoints: Checkpoints): Promise<void> {
    this.#saved.set(mapping, checkpoints);
  }
}
