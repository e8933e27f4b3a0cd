import { type DivergentChange, encodeReport } from '#lib/domain/control/divergence.ts';
import { LANE_0 } from '#lib/domain/ids.ts';
import { type Head, lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { DivergenceReport } from '#lib/ports/divergences.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { ReattachDeps } from '#lib/usecases/control/reattach.ts';

/** The changes that the own log has after `upTo`, up to `head`: what comes later was pushed by the leader. */
export async function tailOf(
  deps: ReattachDeps,
  own: ReplicaLog,
  upTo: Lsn,
  head: Head,
): Promise<readonly DivergentChange[]> {
  const changes: DivergentChange[] = [];
  for (let from = advance(upTo, 1); from <= head.lastLsn; ) {
    const entries = (await own.entries(LANE_0, from, 50)).filter(({ first }) => first <= head.lastLsn);
    for (const entry of entries) changes.push(...deps.rewinder.read(await own.getSegment(entry), entry));
    const last = entries.at(-1);
    if (last === undefined) break;
    from = advance(lastOf(last), 1);
  }
  return changes;
}

/** The changes that no log took, once each, in the order in which they were made. */
export async function collectedOf(deps: ReattachDeps, led: Epoch): Promise<readonly DivergentChange[]> {
  const divergence = await deps.divergences.of(led);
  const changes = new Map<string, DivergentChange>();
  for (const hash of divergence?.collected ?? []) {
    for (const change of deps.rewinder.read(await deps.divergences.get(hash))) {
      changes.set(`${change.shard} ${change.sequence}`, change);
    }
  }
  return [...changes.values()].toSorted((a, b) => (BigInt(a.sequence) < BigInt(b.sequence) ? -1 : 1));
}

/** Saves the report of a tail, together with what an earlier report of it says. */
export async function saveReport(
  deps: ReattachDeps,
  epoch: Epoch,
  changes: readonly DivergentChange[],
  saved: DivergenceReport | undefined,
): Promise<DivergenceReport> {
  const before = saved && (await deps.divergences.get(saved.hash));
  const { rewinder } = deps;
  const { bytes, ...told } = encodeReport(
    'tell' in rewinder ? await rewinder.tell(changes) : changes,
    before,
  );
  await deps.divergences.put(told.hash, bytes);
  const takenBack = saved?.takenBack === undefined ? {} : { takenBack: saved.takenBack };
  const report = { ...told, savedAtMs: deps.clock.now(), ...takenBack };
  await deps.divergences.save(epoch, report);
  deps.telemetry.event('divergence-saved', {
    epoch,
    changes: told.changes,
    keys: told.keys,
    report: told.hash,
  });
  return report;
}
