import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { Rungs } from '#lib/domain/control/fence.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import type { CandidateReport, ElectResult, FenceResult } from '#lib/usecases/control/failover-deps.ts';

/** A run that made a leader, as the decision log tells it. */
export type Promotion = {
  readonly run: string;
  readonly epoch: Epoch;
  readonly candidates: readonly CandidateReport[];
  /** The most that it may have lost, records; null for unknown. */
  readonly rpoRecords: number | null;
  readonly fence: Rungs | null;
};

/** The promotions after epoch 1, in order, by the decision logs of all Regions: a coordinator writes in its own. */
export async function promotionsOf(
  peers: AwsPeers,
  regions: readonly RegionId[],
  upTo: Epoch,
): Promise<readonly Promotion[]> {
  const promotions: Promotion[] = [];
  for (let epoch = parseEpoch(2); epoch <= upTo; epoch = advanceEpoch(epoch)) {
    const decisions = (await Promise.all(regions.map((region) => peers.history(region).of(epoch)))).flat();
    const promoted = decisions.find(
      ({ step, outcome }) => step === 'promote' && nameOf(outcome) === 'promoted',
    );
    if (promoted === undefined) continue;
    const { run } = promoted;
    const outcomeOf = (step: string) =>
      decisions.findLast((decision) => decision.step === step && decision.run === run)?.outcome;
    const elected = outcomeOf('elect') as ElectResult | undefined;
    const fenced = outcomeOf('fence') as FenceResult | undefined;
    promotions.push({
      run,
      epoch,
      candidates: elected?.candidates ?? [],
      rpoRecords: elected?.outcome === 'elected' ? elected.rpo.records : null,
      fence: fenced !== undefined && 'rungs' in fenced ? fenced.rungs : null,
    });
  }
  return promotions;
}

function nameOf(outcome: unknown): unknown {
  return (outcome as { readonly outcome?: unknown }).outcome;
}
