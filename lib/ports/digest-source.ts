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
