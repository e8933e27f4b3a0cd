import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import { type GroupConfig, upstreamOf } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';
import { endOf, type Relayed, relay, runOf } from '#lib/usecases/relay.ts';

/**
 * Repairs this follower's log from the Region that feeds it; from the leader if that one does not answer, or no
 * longer has what is needed.
 * A log that ends before the other's begins starts over at the other's end: its store needs a new snapshot,
 * which the applier takes when it sees the gap. Undefined at the leader, and in a Region that is yet to be re-attached.
 */
export async function pull(deps: {
  readonly group: GroupConfig;
  readonly region: RegionId;
  readonly peers: GroupPeers;
  readonly control: Pick<Control, 'role'>;
  readonly telemetry: Telemetry;
}): Promise<Relayed | undefined> {
  const { group, region, peers, telemetry } = deps;
  const { leader, epoch, attached } = await deps.control.role();
  if (attached < epoch) return undefined;
  const upstream = upstreamOf(group, region, leader);
  if (upstream === undefined) return undefined;
  const own = peers.log(region);
  let pulled: Relayed | undefined;
  try {
    pulled = await relay(peers.log(upstream), own, LANE_0, epoch);
  } catch (error) {
    if (upstream === leader) throw error;
    telemetry.event('upstream-silent', { upstream, why: String(error) });
  }
  // The leader's log may reach back further than that of a Region in between.
  if (pulled === undefined || (pulled.kind === 'behind' && upstream !== leader)) {
    pulled = await relay(peers.log(leader), own, LANE_0, epoch);
  }
  if (pulled.records > 0) telemetry.event('pulled', { ...runOf(LANE_0, pulled), records: pulled.records });
  if (pulled.kind === 'diverged') telemetry.event('relay-diverged', endOf(LANE_0, pulled));
  if (pulled.kind === 'behind' && pulled.from !== undefined) {
    // To start over is to write: a log that is sealed by a newer epoch stays where its seal found it.
    if (pulled.head.sealedEpoch > epoch) return { ...pulled, kind: 'fenced' };
    telemetry.event('FOLLOWER_BEHIND_RETENTION', {
      ...endOf(LANE_0, pulled),
      retainedFrom: `${pulled.from.firstLsn}`,
    });
    await own.rebase(LANE_0, pulled.head, pulled.from);
  }
  return pulled;
}
