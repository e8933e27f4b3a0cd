import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { advanceEpoch, type Epoch, parseEpoch } from '#lib/domain/lsn.ts';

/** The changes that Regions have saved as what only they had, of all epochs before `upTo`, as the reports hold them. */
export async function diverged(
  peers: AwsPeers,
  regions: readonly RegionId[],
  upTo: Epoch,
): Promise<readonly unknown[]> {
  const changes: unknown[] = [];
  for (let epoch = parseEpoch(1); epoch < upTo; epoch = advanceEpoch(epoch)) {
    for (const region of regions) {
      const report = (await peers.divergences(region).of(epoch))?.report;
      if (report === undefined) continue;
      const lines = Buffer.from(await peers.divergences(region).get(report.hash))
        .toString()
        .split('\n');
      changes.push(...lines.filter(Boolean).map((line) => JSON.parse(line) as unknown));
    }
  }
  return changes;
}
