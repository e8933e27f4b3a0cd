import { majorityOf } from '#lib/domain/control/acceptor.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** Whether something that fences an old leader is known to hold, and what that rests on, as a clause. */
export type Proof = { readonly proven: boolean; readonly detail: string };

/**
 * What keeps the leader of an epoch that ends from doing harm, from the weakest assumption on:
 * - log: no append of an older epoch commits in the logs from which the group goes on.
 * - lease: the leader's lease is over, as the Regions that lent it say, or as time says.
 * - watchdog: by the old Region's own item, it lends no lease any more. Under a quorum, the Region itself has to answer; an MRSC
 *   table shows the item as it is, even if the Region is gone.
 * - engine: the old store refuses the writes of all but Understudy.
 * - host: what the user has for it, e.g. to stop the hosts of the application.
 */
export const RUNGS = ['log', 'lease', 'watchdog', 'engine', 'host'] as const;
export type Rung = (typeof RUNGS)[number];

/** Each rung of the ladder, and whether it is proven. */
export type Rungs = Readonly<Record<Rung, Proof>>;

/** The rungs that are proven, but for the seal: without one of them nobody is promoted. */
export function provenBeyondSeal(rungs: Rungs): readonly Rung[] {
  return RUNGS.filter((rung) => rung !== 'log' && rungs[rung].proven);
}

/** What a fence is judged by. Times are in ms. */
export type FenceEvidence = {
  /** Of the replicas' logs, but for the old leader's, which the group does not go on from. */
  readonly seals: readonly { readonly region: RegionId; readonly sealed: boolean }[];
  /** How many decide by majority, and how many have a vote against the old epoch in force. */
  readonly members: number;
  readonly votes: number;
  /** How long this run has waited since it claimed the epoch, by the clock of the workflow that runs it. */
  readonly waitedMs: number;
  /** Lease and margin: once they have passed since the claim, no lease of the old epoch is left. */
  readonly leaseAndMarginMs: number;
  readonly watchdog: Proof;
  readonly engine: Proof;
  readonly host: Proof;
};

export type FenceVerdict =
  | { readonly kind: 'fenced'; readonly rungs: Rungs }
  | { readonly kind: 'wait'; readonly rungs: Rungs; readonly waitMs: number; readonly why: string };

/** Time after which a log that did not answer is asked again, ms. */
const ASK_AGAIN_MS = 1_000;

/**
 * Whether a leader may be elected. Without a sealed log there is nobody to elect; with nothing proven beyond the seal, the
 * old leader may hold its lease, and lease and margin are waited out.
 */
export function judgeFence(evidence: FenceEvidence): FenceVerdict {
  const { members, seals, votes, waitedMs, leaseAndMarginMs, watchdog, engine, host } = evidence;
  const sealed = seals.filter((each) => each.sealed).map(({ region }) => region);
  const open = seals.filter((each) => !each.sealed).map(({ region }) => region);
  const need = majorityOf(members);
  const log: Proof = {
    proven: sealed.length > 0,
    detail: `sealed in ${listed(sealed)}${open.length > 0 ? `; no answer from ${listed(open)}` : ''}`,
  };
  const waited = waitedMs >= leaseAndMarginMs;
  const lease: Proof = {
    proven: votes >= need || waited,
    detail:
      votes >= need
        ? `${votes} of ${members} Regions have withdrawn it, each after lease and margin or with its consent`
        : waited
          ? `lease and margin have been waited out since the claim: ${waitedMs} ms`
          : `only ${votes} of ${members} Regions say that they have withdrawn it`,
  };
  const rungs = { log, lease, watchdog, engine, host };
  if (!log.proven) {
    const why = 'no log of a follower could be sealed';
    return { kind: 'wait', rungs, waitMs: ASK_AGAIN_MS, why };
  }
  if (provenBeyondSeal(rungs).length > 0) return { kind: 'fenced', rungs };
  const why = 'the old leader may hold its lease until lease and margin are over';
  return { kind: 'wait', rungs, waitMs: leaseAndMarginMs - waitedMs, why };
}

function listed(regions: readonly RegionId[]): string {
  return regions.length === 0 ? 'none' : regions.join(', ');
}
