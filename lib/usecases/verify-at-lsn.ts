import type { Lsn } from '#lib/domain/lsn.ts';
import type { PairedDigests, Stray } from '#lib/ports/digest-source.ts';
import { type Difference, difference, differingRows, summary, type Verified } from '#lib/usecases/verify.ts';

export type VerifiedAtLsn = Verified & {
  /** Where in the log the stores were compared. */
  readonly lsn: Lsn;
  /** Rows that the follower had changes of beyond that: compared at later ones, the last of which is given. */
  readonly rechecked: number;
  readonly recheckedAt?: Lsn;
  /** Of those, rows that changed at each look: they are there, or gone, as the log says; their values were not compared. */
  readonly changing: number;
  readonly strays: readonly Stray[];
};

/**
 * Compares a follower with its leader as they stood at one LSN, bucket by bucket, then key by key where a bucket differs. A
 * row that the log touched between that LSN and where the follower stood is looked at again at another one, up to
 * `rechecks` times with `pause` between; any other that differs, differs.
 */
export async function verifyAtLsn(
  open: () => Promise<PairedDigests>,
  options: { readonly rechecks: number; readonly pause: () => Promise<void> },
): Promise<VerifiedAtLsn> {
  const first = await using(open, async (pair) => {
    const { buckets, differing, suspects } = await differingRows(pair.ours, pair.theirs);
    return { buckets, suspects, judged: await judge(pair, differing), lsn: pair.lsn, strays: pair.strays };
  });
  const wrong = [...first.judged.wrong];
  let { unsettled } = first.judged;
  const rechecked = unsettled.size;
  let recheckedAt: Lsn | undefined;
  for (let i = 0; i < options.rechecks && unsettled.size > 0; i++) {
    await options.pause();
    const keys = [...unsettled.keys()];
    const judged = await using(open, async (pair) => {
      const [left, right] = await Promise.all([pair.ours.recheck(keys), pair.theirs.recheck(keys)]);
      recheckedAt = pair.lsn;
      const differing = keys.flatMap((key) => difference(key, left.get(key), right.get(key)));
      return judge(pair, differing, new Set(keys));
    });
    wrong.push(...judged.wrong);
    unsettled = judged.unsettled;
  }
  // Nobody says whether it should be there: a row that is not at one of both may not pass for one that changes.
  for (const found of unsettled.values())
    if (found !== undefined && found.kind !== 'differs') wrong.push(found);
  const isChanging = (found: Difference | undefined) => found === undefined || found.kind === 'differs';
  return {
    ...summary(first.buckets, first.suspects, wrong),
    lsn: first.lsn,
    rechecked,
    ...(recheckedAt !== undefined && { recheckedAt }),
    changing: [...unsettled.values()].filter(isChanging).length,
    strays: first.strays,
  };
}

/** Rows that are not as they should be, and those of which it can't be said here; with what is known to differ of them. */
type Judged = {
  readonly wrong: readonly Difference[];
  readonly unsettled: ReadonlyMap<string, Difference | undefined>;
};

/** @param among the only rows that matter; all, if not given. */
async function judge(
  pair: PairedDigests,
  differing: readonly Difference[],
  among?: ReadonlySet<string>,
): Promise<Judged> {
  const { rows, tables } = await pair.changes();
  const isOfTable = (key: string) => tables.some((table) => key.startsWith(`${table} `));
  const wrong: Difference[] = [];
  const unsettled = new Map<string, Difference | undefined>();
  for (const found of differing) {
    if (isOfTable(found.key)) unsettled.set(found.key, found);
    else if (!rows.has(found.key)) wrong.push(found);
  }
  // Rows that are equal, too: a change that did not arrive leaves what was there before.
  const touched = [...rows.keys()].filter(
    (key) => (among === undefined || among.has(key)) && !isOfTable(key),
  );
  const theirs = touched.length === 0 ? new Map() : await pair.theirs.recheck(touched);
  for (const key of touched) {
    const isThere = theirs.get(key) !== undefined;
    if (isThere === (rows.get(key) === 'there')) unsettled.set(key, undefined);
    else wrong.push({ key, kind: isThere ? 'extra' : 'missing' });
  }
  return { wrong, unsettled };
}

async function using<T>(
  open: () => Promise<PairedDigests>,
  work: (pair: PairedDigests) => Promise<T>,
): Promise<T> {
  const pair = await open();
  try {
    return await work(pair);
  } finally {
    await pair.close();
  }
}
