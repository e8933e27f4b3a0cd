import { LANE_0, type RegionId } from '#lib/domain/ids.ts';
import type { Head } from '#lib/domain/log.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import { downstreamsOf, type GroupConfig } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Clock, Telemetry } from '#lib/ports/telemetry.ts';
import { endOf, relay, runOf } from '#lib/usecases/relay.ts';
import { rememberSegments } from '#lib/usecases/remember-segments.ts';

/** How long one follower may hold up the answer to a hint, once, ms. */
const PATIENCE_MS = 1_000;
/** Segments that are kept for the next follower, bytes. */
const REMEMBERED_BYTES = 32 << 20;
/** How long a follower that failed is left alone, ms. */
const REST_MS = 2_000;

type Flight = {
  flying: boolean;
  /** Of the newest flight, also after it has landed. */
  landed: Promise<void>;
  again: boolean;
  /** It has outlasted the patience of a hint and is not waited for until it has done something again. */
  slow: boolean;
  authority: Epoch;
  known?: Head;
  restUntilMs: number;
};

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
  const own = rememberSegments(deps.peers.log(deps.region), REMEMBERED_BYTES);

  const fly = async (to: RegionId, flight: Flight): Promise<void> => {
    const { peers, telemetry } = deps;
    try {
      do {
        flight.again = false;
        const relayed = await relay(own, peers.log(to), LANE_0, flight.authority, flight.known);
        flight.known = relayed.head;
        flight.slow = false;
        if (relayed.kind === 'behind' || relayed.kind === 'diverged' || relayed.kind === 'fenced') {
          telemetry.event(`relay-${relayed.kind}`, { to, ...endOf(LANE_0, relayed) });
          flight.restUntilMs = deps.clock.now() + REST_MS;
        } else if (relayed.records > 0) {
          telemetry.event('relayed', { to, ...runOf(LANE_0, relayed), records: relayed.records });
        }
      } while (flight.again);
    } catch (error) {
      delete flight.known;
      flight.restUntilMs = deps.clock.now() + REST_MS;
      telemetry.event('relay-failed', { to, lane: LANE_0, epoch: flight.authority, why: String(error) });
    } finally {
      // In one step with the last look at `again`: a hint that comes later finds no flight, and starts one.
      flight.flying = false;
    }
  };

  return async () => {
    const { leader, epoch } = await deps.control.role();
    const healthy: Flight[] = [];
    for (const to of downstreamsOf(deps.group, deps.region, leader)) {
      const flight = flights.get(to) ?? newFlight(epoch);
      flights.set(to, flight);
      flight.again = true;
      flight.authority = epoch;
      if (!flight.flying) {
        if (deps.clock.now() < flight.restUntilMs) continue;
        flight.flying = true;
        flight.landed = fly(to, flight);
      }
      if (!flight.slow) healthy.push(flight);
    }
    const landed = Promise.all(healthy.map((flight) => flight.landed));
    await Promise.race([landed, deps.sleep(PATIENCE_MS)]);
    for (const flight of healthy) flight.slow = flight.flying;
  };
}

function newFlight(authority: Epoch): Flight {
  return { flying: false, landed: Promise.resolve(), again: false, slow: false, authority, restUntilMs: 0 };
}
