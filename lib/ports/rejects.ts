/** A change that cannot be logged: where it stands, and why. Without its images. */
export type Reject = {
  readonly lane: string;
  readonly shard: string;
  readonly sequence: string;
  readonly code: string;
  readonly reason: string;
  /** Canonical key as text, if the record has one. */
  readonly key?: string;
};

/** The failure destination of capture. */
export interface Rejects {
  /** Returns once the reject is durable; throws if it may not be. */
  put(reject: Reject): Promise<void>;
}
