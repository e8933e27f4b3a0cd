import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig } from '#lib/domain/topology.ts';
import type { Control } from '#lib/ports/control.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import type { Metric, Telemetry } from '#lib/ports/telemetry.ts';
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
  readonly beat: (atMs: number) => Promise<void>;
}): Promise<void> {
  const role = await deps.control.role();
  if (role.leader === deps.region) await deps.beat(deps.nowMs());
  const [own] = await measureLag(deps, role, [deps.region]);
  if (own === undefined) return;
  const metrics: Metric[] = [];
  if (own.captureAgeMs !== undefined) {
    metrics.push({ name: 'CaptureAgeSeconds', value: own.captureAgeMs / 1000, unit: 'Seconds' });
  }
  // The leader's own copy is the original: it lags by nothing.
  const none = own.role === 'leader' && own.end ? { records: 0n, bytes: 0n, ms: 0 } : undefined;
  for (const [name, lag] of [
    ['Durable', own.durableLag ?? none],
    ['Applied', own.appliedLag ?? none],
  ] as const) {
    if (lag === undefined) continue;
    metrics.push(
      { name: `${name}LagSeconds`, value: lag.ms / 1000, unit: 'Seconds' },
      { name: `${name}LagRecords`, value: Number(lag.records), unit: 'Count' },
      { name: `${name}LagBytes`, value: Number(lag.bytes), unit: 'Bytes' },
    );
  }
  deps.telemetry.metrics(metrics);
  if (own.error !== undefined) deps.telemetry.event('lag-unknown', { why: own.error });
}
