import type { Lsn } from '#lib/domain/lsn.ts';

/** Digest of one bucket of rows: rows fall into buckets by the hash of their key. Equal rows give equal digests. */
export type BucketDigest = { readonly rows: number; readonly digest: string };

/** A store whose contents can be compared with another's without moving them. */
export interface DigestSource {
  /** All buckets, in order; the same number for every source. */
  buckets(): Promise<readonly BucketDigest[]>;
  /** Row digests of some buckets by the key's text. */
  rows(buckets: ReadonlySet<number>): Promise<ReadonlyMap<string, string>>;
  /** Digests of these rows now, by a consistent read each; undefined for a row that is not there. */
  recheck(keys: readonly string[]): Promise<ReadonlyMap<string, string | undefined>>;
}

/** A table of a follower's that its leader no longer keeps up, and what to do about it. */
export type Stray = { readonly table: string; readonly what: string; readonly fix: string };

/** What a log did after a position: to rows by the key's text, and to tables of which it does not tell row by row. */
export type LoggedChanges = {
  readonly rows: ReadonlyMap<string, 'there' | 'gone'>;
  readonly tables: readonly string[];
};

/**
 * The leader's store and a follower's, each as it stood at one moment, however long they are read: the leader's at `lsn` of
 * the log, the follower's there or after it.
 */
export interface PairedDigests {
  readonly lsn: Lsn;
  readonly ours: DigestSource;
  readonly theirs: DigestSource;
  readonly strays: readonly Stray[];
  /** What the follower had applied beyond `lsn`. */
  changes(): Promise<LoggedChanges>;
  close(): Promise<void>;
}
