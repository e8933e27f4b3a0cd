import type { AwsPeers } from '#lib/aws/aws-peers.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Compared } from '#lib/local/demo/convergence.ts';
import { diverged } from '#lib/local/drill/diverged.ts';
import type { DrillEvent, DrillReport, Scenario } from '#lib/local/drill/drill-report.ts';
import { type Promotion, promotionsOf } from '#lib/local/drill/promotions.ts';
import type { DrillOptions } from '#lib/local/drill/run-drill.ts';
import type { DrillStore, Held, Intruder } from '#lib/local/drill/stores/drill-store.ts';
import { phasesOf, type TelemetryLine } from '#lib/local/drill/timeline.ts';
import type { Acknowledged, DrillWriter } from '#lib/local/drill/writer.ts';

/** Divergent changes that a report shows. */
const SAMPLE = 20;

/** What a drill that has come to its end has shown. */
export async function conclude(found: {
  readonly options: DrillOptions;
  readonly peers: AwsPeers;
  readonly store: DrillStore;
  readonly intruder: Intruder | undefined;
  readonly regions: readonly RegionId[];
  readonly timeline: readonly DrillEvent[];
  readonly lines: readonly TelemetryLine[];
  readonly acked: ReadonlyMap<string, Acknowledged>;
  readonly loaded: Loaded | undefined;
  readonly now: RegionId;
  readonly epoch: Epoch;
  readonly faultMs: number;
  readonly compared: Compared;
  readonly writer: DrillWriter;
}): Promise<DrillReport> {
  const { options, peers, store, intruder, lines, acked, loaded, now, epoch, faultMs, compared, writer } =
    found;
  const writes = writer.acknowledged.toSorted((a, b) => a.atMs - b.atMs);
  const first = writes.find((write) => write.epoch === epoch && epoch > 1);
  const last = writes.findLast((write) => write.epoch < epoch);
  const held = await store.heldBy(now);
  const lost = [...acked.keys()].filter((id) => !held.ids.has(id));
  const promotions = await promotionsOf(peers, found.regions, epoch);
  const promotion = promotions.at(-1);
  const changes = await diverged(peers, found.regions, epoch);
  const saved = new Set(changes.flatMap((change) => store.writeIdsOf(change)));
  const timeline = [...found.timeline];
  if (last !== undefined) {
    timeline.push({
      atMs: last.atMs - faultMs,
      phase: 'before',
      at: 'client',
      what: `last write acknowledged by ${last.region}`,
    });
  }
  timeline.sort((a, b) => a.atMs - b.atMs);
  const reported = mostLost(promotions);
  const forgotten = lost.filter((id) => !saved.has(id));
  // Past the first write of a new leader, whoever else writes and is told that it was done is told so by a zombie.
  const late =
    first === undefined ? [] : (intruder?.acknowledged.filter(({ atMs }) => atMs > first.atMs) ?? []);
  const zombies = late.filter(({ writtenMs }) => writtenMs > first!.atMs);
  const unheard = (intruder?.acknowledged ?? []).filter(({ id }) => !held.ids.has(id) && !saved.has(id));
  const failures = [
    ...tooEarly(epoch, last),
    ...inVain(epoch, options.scenario),
    ...compared.differences,
    ...held.broken,
    ...(loaded === undefined ? [] : missing(loaded, held.others)),
    ...(reported !== null && lost.length > reported
      ? [`${lost.length} writes are lost, ${reported} were reported`]
      : []),
    ...(forgotten.length > 0
      ? [`${forgotten.length} of the lost writes are in no report of what diverged`]
      : []),
    ...(unheard.length > 0
      ? [
          `${unheard.length} writes that the old leader acknowledged past its lease are in no report of what diverged`,
        ]
      : []),
  ];
  return {
    kind: 'report',
    scenario: options.scenario,
    profile: options.profile,
    ok: failures.length === 0,
    failures,
    epoch,
    leader: now,
    rtoMs: first === undefined || last === undefined ? null : first.atMs - last.atMs,
    pauseMs: longestPause(writes),
    loaded: loaded?.rows ?? null,
    acknowledged: acked.size,
    lost: lost.length,
    reportedRpoRecords: reported,
    zombieAcknowledged: intruder === undefined ? null : zombies.length,
    lateAcknowledged: intruder === undefined ? null : late.length - zombies.length,
    divergent: changes.length,
    digestsEqual: compared.digestsEqual,
    phases: phasesOf(lines, promotion?.run ?? '', {
      lastWriteMs: last?.atMs,
      firstWriteMs: first?.atMs,
    }),
    timeline,
    divergentSample: changes.slice(0, SAMPLE),
    candidates: promotion?.candidates ?? [],
    fence: promotion?.fence ?? null,
  };
}

/** A leader that was replaced before the first write was not lost by the drill: it shows nothing. */
export function tooEarly(epoch: Epoch, lastBefore: object | undefined): readonly string[] {
  if (epoch === 1 || lastBefore !== undefined) return [];
  return [
    'the leader was replaced before it took a write: this machine is too busy; try again, or another profile',
  ];
}

/** In these the leader lives, and a majority hears of it. */
const LED_ON: readonly Scenario[] = ['flapping', 'overload', 'register-minority'];

/** Whoever lives is not replaced. */
export function inVain(epoch: Epoch, scenario: Scenario): readonly string[] {
  if (epoch === 1 || !LED_ON.includes(scenario)) return [];
  return [
    'the leader was replaced though it was alive: if this machine is too busy, try again, or another profile',
  ];
}

/** What --load put into each table, and how many items were not taken. */
export type Loaded = { readonly rows: Held['others']; readonly failed: number };

function missing({ rows, failed }: Loaded, held: Held['others']): readonly string[] {
  return [
    ...(failed > 0 ? [`the leader's table did not take ${failed} of the file's items`] : []),
    ...Object.entries(rows).flatMap(([table, loaded]) => {
      const gone = loaded - (held[table] ?? 0);
      return gone > 0 ? [`${gone} of the ${loaded} rows of ${table} that were loaded are gone`] : [];
    }),
  ];
}

/** The most that all promotions together may have lost; null if there was none, or one of them does not know. */
function mostLost(promotions: readonly Promotion[]): number | null {
  if (promotions.length === 0) return null;
  return promotions.reduce<number | null>(
    (sum, { rpoRecords }) => (sum === null || rpoRecords === null ? null : sum + rpoRecords),
    0,
  );
}

function longestPause(writes: readonly Acknowledged[]): number {
  return writes.reduce(
    (longest, { atMs }, index) => Math.max(longest, index === 0 ? 0 : atMs - writes[index - 1]!.atMs),
    0,
  );
}
