import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import { downstreamsOf, type GroupConfig } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';
import { relay } from '#lib/usecases/relay.ts';

/** How long one follower may hold up the answer to a hint, ms. */
const PATIENCE_MS = 1_000;
/** How long a follower that failed is left alone, ms. */
const REST_MS = 2_000;

type Flight = { running?: Promise<void>; again: boolean; known?: Head; restUntilMs: number };

export type PushDeps = {
  readonly group: GroupConfig;
  readonly region: RegionId;
  readonly peers: GroupPeers;
  readonly control: Pick<Control, 'role'>;
  readonly telemetry: Telemetry;
  readonly clock: Clock;
  /** Resolves after `ms`. */
  readonly sleep: (ms: number) => Promise<void>;
};

/**
 * Pushes new entries to the followers that this Region feeds, each in a flight of its own: a flight that is
 * under way takes a new hint along, and one that fails rests, so that a dead follower holds up nobody. What a
 * flight leaves undone is repaired by the next hint or by the follower's own pull.
 *
 * @returns the function to call on each hint; it waits for the healthy flights.
 */
export function pusher(deps: PushDeps): () => Promise<void> {
  const flights = new Map<RegionId, Flight>();

  const fly = async (to: RegionId, flight: Flight): Promise<void> => {
    const { peers, region, telemetry } = deps;
    try {
      do {
        flight.again = false;
        const { epoch } = await deps.control.role();
        const relayed = await relay(peers.log(region), peers.log(to), LANE_0, epoch, flight.known);
        flight.known = relayed.head;
        if (relayed.kind === 'behind' || relayed.kind === 'diverged' || relayed.kind === 'fenced') {
          telemetry.event(`relay-${relayed.kind}`, { to, lsn: `${relayed.head.lastLsn}` });
          flight.restUntilMs = deps.clock.now() + REST_MS;
        } else if (relayed.records > 0) {
          telemetry.event('relayed', { to, lsn: `${relayed.head.lastLsn}`, records: relayed.records });
        }
      } while (flight.again);
    } catch (error) {
      delete flight.known;
      flight.restUntilMs = deps.clock.now() + REST_MS;
      telemetry.event('relay-failed', { to, why: String(error) });
    }
  };

  return async () => {
    const { leader } = await deps.control.role();
    const healthy: Promise<void>[] = [];
    for (const to of downstreamsOf(deps.group, deps.region, leader)) {
      const flight = flights.get(to) ?? { again: false, restUntilMs: 0 };
      flights.set(to, flight);
      flight.again = true;
      if (flight.running === undefined) {
        if (deps.clock.now() < flight.restUntilMs) continue;
        flight.running = fly(to, flight).finally(() => delete flight.running);
      }
      healthy.push(flight.running);
    }
    await Promise.race([Promise.all(healthy), deps.sleep(PATIENCE_MS)]);
  };
}
