import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import { elect } from '#lib/domain/control/election.ts';
import { judgeFence } from '#lib/domain/control/fence.ts';
import { parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch, parseLsn } from '#lib/domain/lsn.ts';
import type { Decision } from '#lib/ports/history.ts';

/** Whether a decision comes out the same from its recorded input; `not-pure` if it rests on more than that. */
export type Replayed =
  | { readonly kind: 'same' }
  | { readonly kind: 'differs'; readonly recorded: unknown; readonly replayed: unknown }
  | { readonly kind: 'not-pure' };

const region = z.string().transform(parseRegionId);
const lsn = z.string().transform(parseLsn);

const electInput = z.object({
  candidates: z.array(
    z.object({
      region,
      lastEpoch: z.number().transform(parseEpoch),
      lastLsn: lsn,
      lastCommitMs: z.number(),
      appliedLsn: lsn.exactOptional(),
      appliedCommitMs: z.number().exactOptional(),
      copying: z.boolean(),
      unfit: z.string().exactOptional(),
      attached: z.boolean(),
      noFailover: z.boolean(),
      priority: z.number(),
      lagAlarm: z.string().exactOptional(),
    }),
  ),
  rules: z.object({
    maxLagMs: z.number(),
    asked: region.exactOptional(),
    force: z.boolean(),
    replaced: region.exactOptional(),
    near: region.exactOptional(),
  }),
});
const electOutcome = z.object({
  outcome: z.enum(['elected', 'none']),
  winner: z.string().optional(),
  pullFrom: z.array(z.string()).default([]),
  candidates: z.array(z.object({ region: z.string(), eligible: z.boolean(), why: z.string() })),
});
const claimInput = z.object({ force: z.boolean().optional(), reason: z.string().optional() });
const claimOutcome = z.object({ outcome: z.string(), code: z.string().optional() });

const proof = z.object({ proven: z.boolean(), detail: z.string() });
const fenceInput = z.object({
  seals: z.array(z.object({ region, sealed: z.boolean() })),
  members: z.number(),
  votes: z.number(),
  waitedMs: z.number(),
  leaseAndMarginMs: z.number(),
  watchdog: proof,
  engine: proof,
  host: proof,
});
const fenceOutcome = z.object({ outcome: z.string(), rungs: z.record(z.string(), proof).optional() });

/** Makes a decision again by the code of this release. */
export function replay({ input, outcome, step }: Decision): Replayed {
  // A try that failed has decided nothing.
  if (Object(outcome).outcome === 'failed') return { kind: 'not-pure' };
  if (step === 'elect') return replayElection(input, outcome);
  if (step === 'claim') return replayClaim(input, outcome);
  if (step === 'fence') return replayFence(input, outcome);
  return { kind: 'not-pure' };
}

function replayElection(input: unknown, outcome: unknown): Replayed {
  const given = electInput.safeParse(input);
  const recorded = electOutcome.safeParse(outcome);
  if (!given.success || !recorded.success)
    return { kind: 'differs', recorded: outcome, replayed: 'unreadable' };
  const { candidates, rules } = given.data;
  const { pullFrom, verdicts, winner } = elect(candidates, rules);
  return compare(
    {
      winner: recorded.data.winner,
      pullFrom: recorded.data.pullFrom,
      verdicts: recorded.data.candidates,
    },
    { winner, pullFrom, verdicts },
  );
}

/** Who wins a claim is up to the register; that a force needs a reason is not. */
function replayClaim(input: unknown, outcome: unknown): Replayed {
  const given = claimInput.safeParse(input);
  const recorded = claimOutcome.safeParse(outcome);
  if (!given.success || !recorded.success)
    return { kind: 'differs', recorded: outcome, replayed: 'unreadable' };
  const refused = given.data.force === true && !given.data.reason?.trim();
  return compare({ refused: recorded.data.code === 'FORCE_WITHOUT_REASON' }, { refused });
}

/** A run that was overtaken is so by what the stores say; whether a fence holds is judged by the evidence alone. */
function replayFence(input: unknown, outcome: unknown): Replayed {
  const recorded = fenceOutcome.safeParse(outcome);
  if (recorded.data?.outcome === 'superseded') return { kind: 'not-pure' };
  const given = fenceInput.safeParse(input);
  if (!given.success || !recorded.success)
    return { kind: 'differs', recorded: outcome, replayed: 'unreadable' };
  const { kind, rungs } = judgeFence(given.data);
  const again = { outcome: kind === 'fenced' ? 'fenced' : 'unproven', rungs };
  return compare({ outcome: recorded.data.outcome, rungs: recorded.data.rungs }, again);
}

function compare(recorded: object, replayed: object): Replayed {
  return isDeepStrictEqual(recorded, replayed) ? { kind: 'same' } : { kind: 'differs', recorded, replayed };
}
