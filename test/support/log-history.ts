import { createHash } from 'node:crypto';
import { LANE_0, type LaneId, parseGroupId } from '#lib/domain/ids.ts';
import { type Draft, type Entry, type Head, headAfter, place } from '#lib/domain/log.ts';
import { LSN_ZERO, type Lsn, parseEpoch } from '#lib/domain/lsn.ts';
import type { LogKeeper } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

export const GROUP = parseGroupId('orders');
export const E1 = parseEpoch(1);
export const E2 = parseEpoch(2);
export const E3 = parseEpoch(3);

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A segment that no codec has to read: the log does not look into one. */
export function segment(name: string): { readonly bytes: Uint8Array; readonly hash: string } {
  const bytes = Buffer.from(`segment ${name}`);
  return { bytes, hash: sha256(bytes) };
}

/** The draft of `segment(name)`. Commit times and marks grow with `at`. */
export function draft(name: string, given: Partial<Draft> & { readonly at?: number } = {}): Draft {
  const { at = 1, ...fields } = given;
  const atMs = 1_700_000_000_000 + at * 1000;
  return {
    hash: segment(name).hash,
    count: 3,
    bytes: 100,
    minCommitMs: atMs - 500,
    maxCommitMs: atMs,
    marks: { [`shard-${at % 3}`]: { sequence: `${at}`, atMs } },
    ...fields,
  };
}

/** Entries that put `drafts` one after the other behind `head`. */
export function placeAll(head: Head, drafts: readonly Draft[], epoch = E1): readonly Entry[] {
  const entries: Entry[] = [];
  let at = head;
  for (const each of drafts) {
    const entry = place(at, each, epoch);
    entries.push(entry);
    at = headAfter(at, entry);
  }
  return entries;
}

/** Puts and appends segments one by one, as a writer of `epoch` that is alone; returns their entries. */
export async function fill(
  log: ReplicaLog,
  names: readonly string[],
  { epoch = E1, lane = LANE_0, ...given }: Partial<Draft> & { epoch?: Entry['epoch']; lane?: LaneId } = {},
): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const name of names) {
    const { bytes, hash } = segment(name);
    const head = await log.head(lane);
    const put = await log.putSegment(hash, bytes, head);
    const drafted = draft(name, { at: Number(head.lastLsn) + 1, ...given });
    const entry = place(head, drafted, epoch, put === 'small' ? bytes : undefined);
    const outcome = await log.append(lane, head, [entry], epoch);
    if (outcome.kind !== 'appended') throw new Error(`${name} was not appended: ${outcome.kind}`);
    entries.push(entry);
  }
  return entries;
}

/** Unlinks and deletes all entries before the one that holds `lsn`, as retention does without grace. */
export async function trimTo(
  log: ReplicaLog,
  keeper: LogKeeper,
  lsn: Lsn,
  lane: LaneId = LANE_0,
): Promise<Head> {
  const head = await log.head(lane);
  const entry = await log.entryAt(lane, lsn);
  if (entry === undefined) throw new Error(`no entry holds ${lsn}`);
  const { head: trimmed } = await keeper.unlink(lane, head, entry, head.sealedEpoch, 1);
  for (;;) {
    const dropped = await keeper.dropEntries(lane, trimmed.firstLsn, head.sealedEpoch);
    if (dropped.kind !== 'dropped') throw new Error(`entries were not dropped: ${dropped.kind}`);
    if (dropped.count === 0) return trimmed;
  }
}

/** `count` names from `prefix`0 on. */
export function names(prefix: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** All entries of a lane, in order. */
export async function allEntries(log: ReplicaLog, lane: LaneId = LANE_0): Promise<readonly Entry[]> {
  return log.entries(lane, LSN_ZERO, 100_000);
}
