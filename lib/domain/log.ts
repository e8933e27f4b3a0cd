import { hash as digest } from 'node:crypto';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { advance, EPOCH_ZERO, type Epoch, LSN_ZERO, type Lsn, parseEpoch } from '#lib/domain/lsn.ts';
import { type Marks, mergeMarks } from '#lib/domain/marks.ts';

/**
 * Bytes of a segment that still goes into its entry, at the most. With so many, the item takes the write units that an object's
 * PUT would cost; and whoever reads or copies the entry has the segment without a further round trip.
 */
export const SMALL_SEGMENT = 3 * 1024;

/** A segment that is stored but not yet in the log: free of LSN and epoch. */
export type Draft = {
  /** SHA-256 of the segment object, hex. */
  readonly hash: string;
  /** Records in it, at least 1. */
  readonly count: number;
  /** Size of its records before compression, bytes. */
  readonly bytes: number;
  /** Commit times of its oldest and newest record, Unix ms by the source's clock. */
  readonly minCommitMs: number;
  readonly maxCommitMs: number;
  /** Where each source shard stands once this segment is in the log. */
  readonly marks: Marks;
};

/** The index item that places a segment in a lane's log. Equal, field by field, on every replica. */
export type Entry = Draft & {
  readonly first: Lsn;
  readonly epoch: Epoch;
  /** Chain value before and after this entry, hex: `chain = SHA-256(prev, entry)`. */
  readonly prev: string;
  readonly chain: string;
  /** Bytes of records in the log up to and with this entry. */
  readonly totalBytes: bigint;
  /** The segment itself, where it is small: then there may be no object. The chain covers it by its hash. */
  readonly segment?: Uint8Array;
};

/** Where a lane's log ends. The head, not the object, is the commit. */
export type Head = {
  /** Oldest LSN that is still in the log; `lastLsn + 1` if none is. */
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  readonly lastEpoch: Epoch;
  /** No append of an epoch below this one can commit. */
  readonly sealedEpoch: Epoch;
  readonly chain: string;
  readonly totalBytes: bigint;
  /** Commit time of the newest record, Unix ms; 0 for an empty log. */
  readonly lastCommitMs: number;
  readonly marks: Marks;
  /**
   * The generation of segment objects that an append may rely on, in this Region; 0 until retention has begun one. An
   * object of an earlier generation that no entry names may be gone at any time.
   */
  readonly generation: number;
  /** When retention last raised `firstLsn`, Unix ms; 0 if never. */
  readonly unlinkedAtMs: number;
};

/** What became of an append. Every outcome carries the head that is in force. */
export type AppendOutcome =
  /** These entries are in the log; `again` if an earlier try of the same append had put them there. */
  | { readonly kind: 'appended'; readonly head: Head; readonly again: boolean }
  /** A newer epoch has sealed the log: this writer is fenced for good. */
  | { readonly kind: 'fenced'; readonly head: Head }
  /** The head is not where the writer thought: plan again from the head given. */
  | { readonly kind: 'moved'; readonly head: Head };

export type SealOutcome =
  | { readonly kind: 'sealed'; readonly head: Head }
  /** Sealed by a newer epoch than the one asked for. */
  | { readonly kind: 'superseded'; readonly head: Head };

/** What became of a step of retention: it acts in the name of an epoch, as an append does. */
export type KeepOutcome =
  | { readonly kind: 'kept'; readonly head: Head }
  /** A newer epoch has sealed the log: nothing was done. */
  | { readonly kind: 'fenced'; readonly head: Head }
  /** The log is not as the caller thought: nothing was done. */
  | { readonly kind: 'moved'; readonly head: Head };

/** The head of a log that holds nothing. Its chain starts from the group's and the lane's name. */
export function emptyHead(group: GroupId, lane: LaneId): Head {
  return {
    firstLsn: advance(LSN_ZERO, 1),
    lastLsn: LSN_ZERO,
    lastEpoch: EPOCH_ZERO,
    sealedEpoch: EPOCH_ZERO,
    chain: sha256(`understudy ${group} ${lane}`),
    totalBytes: 0n,
    lastCommitMs: 0,
    marks: {},
    generation: 0,
    unlinkedAtMs: 0,
  };
}

/**
 * The entry that puts `draft` right after `head`.
 *
 * @param segment the segment itself, if it is to be in the entry.
 */
export function place(head: Head, draft: Draft, epoch: Epoch, segment?: Uint8Array): Entry {
  const entry = {
    ...draft,
    first: advance(head.lastLsn, 1),
    epoch,
    prev: head.chain,
    totalBytes: head.totalBytes + BigInt(draft.bytes),
  };
  return { ...entry, chain: chainOf(entry), ...(segment && { segment }) };
}

/** The same entry for a log that keeps its segment in it, or as an object. */
export function keeping({ segment: _, ...entry }: Entry, segment: Uint8Array | undefined): Entry {
  return { ...entry, ...(segment && { segment }) };
}

/** LSN of the last record of an entry. */
export function lastOf(entry: Pick<Entry, 'first' | 'count'>): Lsn {
  return advance(entry.first, entry.count - 1);
}

/** The head after `entry`. The caller has checked that the entry fits. */
export function headAfter(head: Head, entry: Entry): Head {
  return {
    ...head,
    lastLsn: lastOf(entry),
    lastEpoch: entry.epoch,
    chain: entry.chain,
    totalBytes: entry.totalBytes,
    lastCommitMs: Math.max(head.lastCommitMs, entry.maxCommitMs),
    marks: mergeMarks(head.marks, entry.marks),
  };
}

/**
 * True if `entries` continue the log from (`lastLsn`, `chain`, `lastEpoch`): contiguous, chained, epochs never
 * going back. What an acceptor checks before the conditional write, and a reader after a fetch.
 */
export function continues(head: Head, entries: readonly Entry[]): boolean {
  let at = head;
  for (const entry of entries) {
    const fits =
      entry.first === at.lastLsn + 1n &&
      entry.prev === at.chain &&
      entry.epoch >= at.lastEpoch &&
      entry.count > 0 &&
      entry.totalBytes === at.totalBytes + BigInt(entry.bytes) &&
      entry.chain === chainOf(entry);
    if (!fits) return false;
    at = headAfter(at, entry);
  }
  return true;
}

/**
 * Append as a pure transition: the truth that both the in-memory twin and the conditional write of the AWS
 * adapter implement. `authority` is the epoch in whose name the writer acts; it is at least that of the
 * entries, which may be older when a relay repeats history. A committed append raises the seal to it.
 */
export function append(head: Head, entries: readonly Entry[], authority: Epoch): AppendOutcome {
  const last = entries.at(-1);
  if (last === undefined) return { kind: 'appended', head, again: true };
  if (head.chain === last.chain) return { kind: 'appended', head, again: true };
  if (authority < head.sealedEpoch || last.epoch > authority) return { kind: 'fenced', head };
  if (!continues(head, entries)) return { kind: 'moved', head };
  const moved = entries.reduce(headAfter, head);
  return { kind: 'appended', head: { ...moved, sealedEpoch: authority }, again: false };
}

/** Seal as a pure transition: fences every epoch below `epoch` and tells where the log ends. */
export function seal(head: Head, epoch: Epoch): SealOutcome {
  if (head.sealedEpoch > epoch) return { kind: 'superseded', head };
  return { kind: 'sealed', head: { ...head, sealedEpoch: epoch } };
}

/**
 * Unlinks everything before `first`, where an entry of the log begins: the newest entry stays. `moved` where that is
 * not ahead of `firstLsn`, or beyond the end.
 */
export function unlink(head: Head, first: Lsn, authority: Epoch, atMs: number): KeepOutcome {
  if (head.sealedEpoch > authority) return { kind: 'fenced', head };
  if (first <= head.firstLsn || first > head.lastLsn) return { kind: 'moved', head };
  return { kind: 'kept', head: { ...head, firstLsn: first, unlinkedAtMs: atMs } };
}

/** Begins a new generation of segments: from now on, no append that was prepared before it can commit. */
export function nextGeneration(head: Head, authority: Epoch): KeepOutcome {
  if (head.sealedEpoch > authority) return { kind: 'fenced', head };
  return { kind: 'kept', head: { ...head, generation: head.generation + 1 } };
}

/**
 * The head of a follower that starts over from another log's position, because what lies before it can't be
 * pulled any more. Nothing before it is in this log.
 */
export function rebase(head: Head, onto: Head): Head {
  return {
    ...onto,
    // Those are of this Region's own objects and entries.
    generation: head.generation,
    unlinkedAtMs: head.unlinkedAtMs,
    firstLsn: advance(onto.lastLsn, 1),
    sealedEpoch: parseEpoch(Math.max(onto.sealedEpoch, head.sealedEpoch)),
  };
}

/**
 * The head of a log that goes back to the end of `entry`, one of its own: what came after it is not the group's. The
 * source marks stay: what they cover was dealt with, even if it is no longer in the log.
 */
export function rewind(head: Head, entry: Entry): Head {
  if (lastOf(entry) >= head.lastLsn) return head;
  return {
    ...head,
    lastLsn: lastOf(entry),
    lastEpoch: entry.epoch,
    chain: entry.chain,
    totalBytes: entry.totalBytes,
    lastCommitMs: entry.maxCommitMs,
  };
}

function chainOf(entry: Omit<Entry, 'chain'>): string {
  const marks = Object.entries(entry.marks)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([shard, { sequence, atMs, beatMs }]) => [
      shard,
      sequence,
      atMs,
      ...(beatMs === undefined ? [] : [beatMs]),
    ]);
  const { prev, first, count, bytes, totalBytes, epoch, hash, minCommitMs, maxCommitMs } = entry;
  const place = [prev, `${first}`, count, bytes, `${totalBytes}`, epoch, hash];
  return sha256(JSON.stringify([...place, minCommitMs, maxCommitMs, marks]));
}

/** Hex. */
export function sha256(data: string | Uint8Array): string {
  return digest('sha256', data);
}
