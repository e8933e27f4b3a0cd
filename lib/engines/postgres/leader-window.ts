import { setTimeout as sleep } from 'node:timers/promises';
import { LANE_0 } from '#lib/domain/ids.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { ApplySession } from '#lib/engines/postgres/apply-session.ts';
import { applySteps } from '#lib/engines/postgres/apply-steps.ts';
import { commitLsnOf, type DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { RunReader, type TransactionEnd } from '#lib/engines/postgres/run-reader.ts';
import { TargetTables } from '#lib/engines/postgres/target-tables.ts';
import type { TouchedRows } from '#lib/engines/postgres/touched-rows.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import type { PlacedSegment } from '#lib/ports/replica-store.ts';

/** Bytes of records that one transaction at the follower takes in at most; and those that are written at a time. */
const WINDOW_BYTES = 512 << 20;
const RUN_BYTES = 8 << 20;
/** How long the leader's log may take to come to a moment that has just been, ms. */
const PATIENCE_MS = 10_000;
const PAUSE_MS = 50;
/** Entries that are read at a time. */
const PAGE = 50;

/** A moment of a leader's database: a WAL position, as its own slot tells it in its own epoch. */
export type Moment = { readonly position: bigint; readonly shard: string; readonly epoch: Epoch };

/** What a leader's log holds after `from`, up to the last transaction that committed before a moment: absent if none did. */
export type Window = {
  readonly from: Lsn;
  readonly placed: readonly PlacedSegment[];
  readonly end?: TransactionEnd;
};

/**
 * Reads a window. `behind`: the log has not come to the moment yet. `unknown`: it no longer reaches back to `from`, or holds
 * more than can be taken in at once.
 */
export async function readWindow(
  log: ReplicaLog,
  from: Lsn,
  moment: Moment,
): Promise<Window | 'behind' | 'unknown'> {
  const placed: PlacedSegment[] = [];
  let end: TransactionEnd | undefined;
  let bytes = 0;
  for (let next = advance(from, 1); ; ) {
    const entries = await log.entries(LANE_0, next, PAGE);
    bytes += entries.reduce((sum, entry) => sum + entry.bytes, 0);
    if (bytes > WINDOW_BYTES) return 'unknown';
    // At once: a log that is far away grows faster than it is read segment by segment.
    const page = await Promise.all(
      entries.map(async (entry) => ({ entry, bytes: await log.getSegment(entry) })),
    );
    for (const each of page) {
      const { entry } = each;
      if (entry.first !== next) return 'unknown';
      placed.push(each);
      let isOver = false;
      for (const at of new RunReader([each], from).ends()) {
        isOver = entry.epoch === moment.epoch && at.shard === moment.shard && at.commitLsn >= moment.position;
        if (isOver) break;
        end = at;
      }
      if (isOver) return { from, placed, ...(end && { end }) };
      next = advance(lastOf(entry), 1);
    }
    if (entries.length === 0)
      return (await log.head(LANE_0)).firstLsn > advance(from, 1) ? 'unknown' : 'behind';
  }
}

/** Reads a window once the log has come to the moment; `behind` if it does not in time. */
export async function awaitWindow(
  log: ReplicaLog,
  from: Lsn,
  moment: Moment,
  patienceMs = PATIENCE_MS,
): Promise<Window | 'behind' | 'unknown'> {
  const until = performance.now() + patienceMs;
  for (;;) {
    // The mark says how far the leader's capture is; only then is the log worth reading.
    const mark = (await log.head(LANE_0)).marks[moment.shard];
    const isThere = mark !== undefined && commitLsnOf(mark.sequence) >= moment.position;
    const window = isThere ? await readWindow(log, from, moment) : 'behind';
    if (window !== 'behind' || performance.now() > until) return window;
    await sleep(PAUSE_MS);
  }
}

/** Lets `visit` see every row's change of a window. */
export function forEachRow(
  { from, placed, end }: Window,
  visit: (table: DescribedTable, message: Uint8Array) => void,
): void {
  for (const each of end === undefined ? [] : placed) {
    const reader = new RunReader([each], from);
    reader.forEach(end!.lsn, (record, { tables }) => {
      const table = tables[record.table];
      if (record.kind === 'marker' || record.kind === 'statement' || table === undefined) return;
      visit(table, record.after!);
    });
  }
}

/** Writes a window in the open transaction of a session, but for some rows. Throws SCHEMA_DIFFERS and APPLY_CONFLICT. */
export async function writeWindow(
  session: ApplySession,
  { from, placed, end }: Window,
  without: TouchedRows,
): Promise<void> {
  const tables = new TargetTables(session);
  let size = RUN_BYTES;
  for (let at = from; end !== undefined && at < end.lsn; ) {
    const { run, isAll } = nextRun(placed, at, size);
    const reader = new RunReader(run, at);
    await tables.load(reader);
    const last = reader.lastEnd();
    if (last === undefined) {
      const isCut = reader.segments.length < run.length;
      // Begins with the table that has changed: it throws.
      if (isCut) await tables.load(new RunReader(run.slice(reader.segments.length), at));
      // What has no end by the end of its epoch has not happened.
      if (isAll) at = lastOf(run.at(-1)!.entry);
      else size *= 2;
      continue;
    }
    const { lsn: upTo } = last.lsn < end.lsn ? last : end;
    await applySteps(session, tables, { reader, upTo, copied: {}, without }, []);
    if (session.isReplica) await session.client.query('RELEASE SAVEPOINT run');
    at = upTo;
    size = RUN_BYTES;
  }
}

/** Segments of one epoch after a position, of a size at least; `isAll`: its epoch has no more. */
function nextRun(
  placed: readonly PlacedSegment[],
  at: Lsn,
  size: number,
): { readonly run: readonly PlacedSegment[]; readonly isAll: boolean } {
  const rest = placed.filter(({ entry }) => lastOf(entry) > at);
  const epoch = rest[0]!.entry.epoch;
  const end = rest.findIndex(({ entry }) => entry.epoch !== epoch);
  const own = end < 0 ? rest : rest.slice(0, end);
  let bytes = 0;
  let count = 0;
  while (count < own.length && bytes < size) bytes += own[count++]!.entry.bytes;
  return { run: own.slice(0, count), isAll: count === own.length };
}
