import { UnderstudyError } from '#lib/domain/errors.ts';
import { LANES } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, LSN_ZERO, type Lsn } from '#lib/domain/lsn.ts';
import type { LogKeeper, StoredSegment } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

const PAGE = 500;
/** Digits of a hash that are remembered: 48 bits. What is taken for named by mistake stays until a later run. */
const DIGITS = 12;

type SweepDeps = {
  readonly log: Pick<ReplicaLog, 'head' | 'entries'>;
  readonly keeper: LogKeeper;
  readonly mayGoOn: () => boolean;
};

/**
 * Deletes the segment objects that no entry names. First a new generation begins: from then on, whoever appends has put
 * its segment in that generation, whatever it found there before. So an object of an earlier one that no entry names
 * after that will never be named again, and its deletion does no harm however late it comes.
 *
 * The generation just ended is left alone until the next run: that is the grace of an upload that came to nothing.
 *
 * @returns how many objects were deleted.
 */
export async function sweepSegments(deps: SweepDeps, epoch: Epoch): Promise<number | 'fenced'> {
  const { keeper, log } = deps;
  let oldest = Number.POSITIVE_INFINITY;
  for (const lane of LANES) {
    const { kind, head } = await keeper.nextGeneration(lane, epoch);
    if (kind === 'fenced') return 'fenced';
    // A lane that nobody has written to is still in generation 0, and holds on to all that there is.
    oldest = Math.min(oldest, head.generation);
  }
  const named = await namesOf(deps);
  const isGarbage = ({ generation, hash }: StoredSegment) =>
    generation < oldest - 1 && !named.has(shortOf(hash));

  let deleted = 0;
  for (let after: StoredSegment | undefined; ; ) {
    stopInTime(deps);
    const page: readonly StoredSegment[] = await keeper.segments(after);
    after = page.at(-1);
    if (after === undefined) return deleted;
    const garbage = page.filter(isGarbage);
    if (garbage.length === 0) continue;
    for (const lane of LANES) if ((await log.head(lane)).sealedEpoch > epoch) return 'fenced';
    await keeper.dropSegments(garbage);
    deleted += garbage.length;
  }
}

/** The segments that entries name, those that are unlinked and not yet deleted too. */
async function namesOf(deps: SweepDeps): Promise<ReadonlySet<number>> {
  const named = new Set<number>();
  for (const lane of LANES) {
    for (let from: Lsn = LSN_ZERO; ; ) {
      stopInTime(deps);
      const page = await deps.log.entries(lane, from, PAGE);
      for (const { hash } of page) named.add(shortOf(hash));
      const last = page.at(-1);
      if (last === undefined) break;
      from = advance(lastOf(last), 1);
    }
  }
  return named;
}

/** Throws RETENTION_UNFINISHED once the time is up. What was done is done. */
export function stopInTime({ mayGoOn }: Pick<SweepDeps, 'mayGoOn'>): void {
  if (mayGoOn()) return;
  throw new UnderstudyError(
    'RETENTION_UNFINISHED',
    'the time of this run was up before all of the log had been looked through',
    'The next run goes on. If this is said of each, keep fewer days, or give the function more memory.',
  );
}

function shortOf(hash: string): number {
  return Number.parseInt(hash.slice(0, DIGITS), 16);
}
