import type { BucketDigest, DigestSource } from '#lib/ports/digest-source.ts';

/** Keys that one comparison names at most. */
const MAX_KEYS = 20;

export type Difference = {
  readonly key: string;
  readonly kind: 'missing' | 'extra' | 'differs';
};

/** `equal` holds for what was compared; `differences` names the first keys, `differing` counts all. */
export type Verified = {
  readonly equal: boolean;
  readonly rows: number;
  readonly digest: string;
  readonly buckets: number;
  readonly differingBuckets: number;
  readonly differing: number;
  readonly differences: readonly Difference[];
};

/**
 * Compares `other` with `reference` bucket by bucket, then key by key where a bucket differs. On a live system a
 * follower is always a little behind, so a key that differs is read again, up to `rechecks` times with `pause`
 * between, before it counts.
 */
export async function verify(
  reference: DigestSource,
  other: DigestSource,
  options: { readonly rechecks: number; readonly pause: () => Promise<void> },
): Promise<Verified> {
  const first = await differingRows(reference, other);
  let { differing } = first;
  for (let i = 0; i < options.rechecks && differing.length > 0; i++) {
    await options.pause();
    const keys = differing.map(({ key }) => key);
    const [left, right] = await Promise.all([reference.recheck(keys), other.recheck(keys)]);
    differing = keys.flatMap((key) => difference(key, left.get(key), right.get(key)));
  }
  return summary(first.buckets, first.suspects, differing);
}

/** The buckets of `other`, the number of those that differ, and the rows that differ in them. */
export async function differingRows(
  reference: DigestSource,
  other: DigestSource,
): Promise<{
  readonly buckets: readonly BucketDigest[];
  readonly suspects: number;
  readonly differing: readonly Difference[];
}> {
  const [ours, theirs] = await Promise.all([reference.buckets(), other.buckets()]);
  const suspect = new Set<number>();
  ours.forEach((bucket, index) => {
    if (bucket.digest !== theirs[index]?.digest) suspect.add(index);
  });
  const differing = suspect.size === 0 ? [] : await compareRows(reference, other, suspect);
  return { buckets: theirs, suspects: suspect.size, differing };
}

export function summary(
  buckets: readonly BucketDigest[],
  suspects: number,
  differing: readonly Difference[],
): Verified {
  return {
    equal: differing.length === 0,
    rows: buckets.reduce((sum, { rows }) => sum + rows, 0),
    digest: fold(buckets.map(({ digest }) => digest)),
    buckets: buckets.length,
    differingBuckets: suspects,
    differing: differing.length,
    differences: differing.slice(0, MAX_KEYS),
  };
}

async function compareRows(
  reference: DigestSource,
  other: DigestSource,
  buckets: ReadonlySet<number>,
): Promise<Difference[]> {
  const [left, right] = await Promise.all([reference.rows(buckets), other.rows(buckets)]);
  const keys = [...new Set([...left.keys(), ...right.keys()])].sort();
  return keys.flatMap((key) => difference(key, left.get(key), right.get(key)));
}

/** What is to be said of a row's digests, if they differ. */
export function difference(key: string, ours: string | undefined, theirs: string | undefined): Difference[] {
  if (ours === theirs) return [];
  if (theirs === undefined) return [{ key, kind: 'missing' }];
  return [{ key, kind: ours === undefined ? 'extra' : 'differs' }];
}

/** One digest of all buckets, as long as each of them: the exclusive or of hex numbers. */
function fold(digests: readonly string[]): string {
  const sum = digests.reduce((acc, digest) => acc ^ BigInt(`0x${digest}`), 0n);
  return sum.toString(16).padStart(digests[0]?.length ?? 0, '0');
}
