import type { RegionId } from '#lib/domain/ids.ts';
import type { Lag } from '#lib/domain/lag.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Telemetry } from '#lib/ports/telemetry.ts';
import { measureLag } from '#lib/usecases/measure-lag.ts';

/**
 * What the sentinel does at each tick: at the leader, a heartbeat through the store; in every Region, its own
 * lag as metrics. A figure that can't be had is not sent, and the alarm takes a missing figure for a breach.
 */
export async function watch(deps: {
  readonly group: GroupConfig;
  readonly region: RegionId;
  readonly peers: GroupPeers;
  readonly control: Pick<Control, 'role'>;
  readonly telemetry: Telemetry;
  readonly nowMs: () => number;
  readonly beat: (atMs: number) => Promise<unknown>;
}): Promise<void> {
  const role = await deps.control.role();
  if (role.leader === deps.region) await deps.beat(deps.nowMs());
  const [own] = await measureLag(deps, role, [deps.region]);
  if (own === undefined) return;
  // The leader's own copy is the original: it lags by nothing, and says so, lest the alarm miss it.
  const isOriginal = own.role === 'leader' && own.end !== undefined;
  const durable = isOriginal ? ORIGINAL : figuresOf(own.durableLag);
  const applied = isOriginal ? ORIGINAL : figuresOf(own.appliedLag);
  deps.telemetry.metrics({
    CaptureAgeSeconds: seconds(own.captureAgeMs),
    DurableLagSeconds: durable.seconds,
    DurableLagRecords: durable.records,
    DurableLagBytes: durable.bytes,
    AppliedLagSeconds: applied.seconds,
    AppliedLagRecords: applied.records,
    AppliedLagBytes: applied.bytes,
  });
  if (own.error !== undefined) deps.telemetry.event('lag-unknown', { why: own.error });
}

type LagFigures = { readonly seconds?: number; readonly records?: number; readonly bytes?: number };

const ORIGINAL: LagFigures = { seconds: 0 };

function figuresOf(lag: Lag | undefined): LagFigures {
  if (lag === undefined) return {};
  return { seconds: lag.ms / 1000, records: Number(lag.records), bytes: Number(lag.bytes) };
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1000;
}
