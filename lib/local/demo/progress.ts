import type { RegionId } from '#lib/domain/ids.ts';
import type { GroupConfig, Leadership } from '#lib/domain/topology.ts';
import type { GroupPeers } from '#lib/ports/group-peers.ts';
import { measureLag, type RegionLag } from '#lib/usecases/measure-lag.ts';

/** A line of the live view. Figures that are not known are absent. */
export type RegionProgress = {
  readonly region: RegionId;
  readonly role: 'leader' | 'follower';
  readonly captured?: string;
  readonly durable?: string;
  readonly applied?: string;
  /** Median of what was measured since the last line; else the age of the newest change applied. */
  readonly lagMs?: number;
  readonly recordsPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly note?: string;
};

/** Turns successive measurements into rates and lines. */
export class ProgressMeter {
  readonly #deps: { readonly group: GroupConfig; readonly peers: GroupPeers };
  readonly #measuredLag: (region: RegionId) => number | undefined;
  readonly #last = new Map<RegionId, { atMs: number; lsn: bigint; bytes: bigint }>();

  constructor(
    deps: { readonly group: GroupConfig; readonly peers: GroupPeers },
    measuredLag: (region: RegionId) => number | undefined,
  ) {
    this.#deps = deps;
    this.#measuredLag = measuredLag;
  }

  async measure(role: Leadership): Promise<readonly RegionProgress[]> {
    const rows = await measureLag({ ...this.#deps, nowMs: () => Date.now() }, role);
    const nowMs = Date.now();
    const captured = rows.find((row) => row.role === 'leader')?.end?.lsn;
    return rows.map((row) => ({
      region: row.region,
      role: row.role,
      ...(captured !== undefined && { captured: String(captured) }),
      ...(row.end && { durable: String(row.end.lsn) }),
      ...this.#applied(row),
      ...this.#rates(row, nowMs),
      ...note(row),
    }));
  }

  #applied(row: RegionLag): Partial<RegionProgress> {
    if (row.role === 'leader') return row.end ? { applied: String(row.end.lsn), lagMs: 0 } : {};
    if (row.applied === undefined) return {};
    const measured = this.#measuredLag(row.region);
    const lagMs = measured ?? row.appliedLag?.ms;
    return { applied: String(row.applied.lsn), ...(lagMs !== undefined && { lagMs }) };
  }

  #rates(row: RegionLag, nowMs: number): Partial<RegionProgress> {
    const at = row.role === 'leader' ? row.end : row.applied;
    if (at === undefined) return {};
    const last = this.#last.get(row.region);
    this.#last.set(row.region, { atMs: nowMs, lsn: at.lsn, bytes: at.totalBytes });
    if (last === undefined || nowMs <= last.atMs) return {};
    const perSecond = (amount: bigint) =>
      Math.max(0, Math.round((Number(amount) * 1000) / (nowMs - last.atMs)));
    return {
      recordsPerSecond: perSecond(at.lsn - last.lsn),
      bytesPerSecond: perSecond(at.totalBytes - last.bytes),
    };
  }
}

function note({ snapshot, error }: RegionLag): { note?: string } {
  if (error !== undefined) return { note: error };
  if (snapshot === undefined) return {};
  const { phase, rowsCopied, rowsEstimated } = snapshot;
  return { note: `snapshot: ${phase}, ${rowsCopied} of about ${Math.max(rowsCopied, rowsEstimated)} rows` };
}
