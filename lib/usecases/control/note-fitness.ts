import { isFailure } from '#lib/domain/errors.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { FitnessNotes } from '#lib/ports/control.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';

/** What was noted last: `unfit` is a clause with the code of the runbook; undefined if nothing is against the store. */
export type Fitness = { readonly unfit: string | undefined };

/**
 * Looks whether this Region's store could lead, and notes the answer where an election reads anyway: while a leader is
 * lost, nobody asks the store. If the store can't be asked, the note stays as it is. Throws what `check` throws for
 * other reasons than the store's.
 *
 * @param deps `check` throws an UnderstudyError that says why the store could not lead.
 * @param before what this process noted last: the same is not written again.
 */
export async function noteFitness(
  deps: {
    readonly check: () => Promise<unknown>;
    readonly control: FitnessNotes;
    readonly telemetry: Telemetry;
  },
  before: Fitness | undefined,
): Promise<Fitness> {
  const unfit = await deps.check().then(
    () => undefined,
    (error) => {
      if (!isFailure(error)) throw error;
      return error.message.replace(`. ${error.next}`, '');
    },
  );
  if (unfit !== undefined) deps.telemetry.event('unfit', { why: unfit });
  if (before === undefined || before.unfit !== unfit) await deps.control.noteFitness(LANE_0, unfit);
  return { unfit };
}
