import { setTimeout as sleep } from 'node:timers/promises';
import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';

/** How often it is looked whether a run waits, ms. */
const LOOK_MS = 500;

/** Approves every run that waits for a person, until `signal`, as an operator would who sits there and watches. */
export async function approveRuns(
  peers: AwsPeers,
  regions: readonly RegionId[],
  onApproved: (region: RegionId, run: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const approveIn = async (region: RegionId) => {
    const pending = await peers.approvals(region).pending();
    if (pending === undefined) return;
    const { run } = pending.input;
    const answer = await peers.approvals(region).answer(run, { outcome: 'approved', by: 'the drill' });
    if (answer === 'answered') onApproved(region, run);
  };
  while (!signal.aborted) {
    // A Region that is lost has nobody who waits; one that comes back is asked again.
    await Promise.all(regions.map((region) => approveIn(region).catch(() => {})));
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
}
