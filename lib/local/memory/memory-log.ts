import { hash as digest } from 'node:crypto';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import {
  type AppendOutcome,
  append,
  type Entry,
  emptyHead,
  type Head,
  type KeepOutcome,
  lastOf,
  nextGeneration,
  rebase,
  rewind,
  type SealOutcome,
  seal,
  unlink,
} from '#lib/domain/log.ts';
import { advance, type Epoch, type Lsn } from '#lib/domain/lsn.ts';
import type { DropOutcome, LogKeeper, StoredSegment } from '#lib/ports/log-keeper.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** Entries and segments in one step of retention: few, so that tests see several. */
const PAGE = 3;

/** The log ports in memory: the domain's transitions over maps. Twin of the log on S3 and DynamoDB. */
export class MemoryLog implements ReplicaLog, LogKeeper {
  readonly #group: GroupId;
  /** By hash, then by generation. */
  readonly #segments = new Map<string, Map<number, Uint8Array>>();
  readonly #heads = new Map<LaneId, Head>();
  readonly #entries = new Map<LaneId, Entry[]>();
  readonly #small: number;

  /** @param small bytes of a segment that goes into its entry, at the most; as they are, all are objects. */
  constructor(group: GroupId, small = 0) {
    this.#group = group;
    this.#small = small;
  }

  async putSegment(
    hash: string,
    bytes: Uint8Array,
    { generation }: Pick<Head, 'generation'>,
  ): Promise<'stored' | 'small'> {
    if (bytes.length <= this.#small) return 'small';
    const stored = this.#segments.get(hash) ?? new Map<number, Uint8Array>();
    this.#segments.set(hash, stored);
    if (!stored.has(generation)) stored.set(generation, bytes);
    return 'stored';
  }

  async getSegment({ hash, segment }: Pick<Entry, 'hash' | 'segment'>): Promise<Uint8Array> {
    if (segment !== undefined) return checkedSegment(hash, segment);
    const stored = this.#segments.get(hash) ?? new Map<number, Uint8Array>();
    return checkedSegment(hash, stored.get(Math.max(...stored.keys())));
  }

  async head(lane: LaneId): Promise<Head> {
    return this.#head(lane);
  }

  async entries(lane: LaneId, from: Lsn, limit: number): Promise<readonly Entry[]> {
    const entries = this.#lane(lane);
    const start = indexFrom(entries, from);
    return entries.slice(start, start + limit);
  }

  async entryAt(lane: LaneId, lsn: Lsn): Promise<Entry | undefined> {
    const entries = this.#lane(lane);
    const entry = entries[indexFrom(entries, advance(lsn, 1)) - 1];
    return entry !== undefined && lastOf(entry) >= lsn ? entry : undefined;
  }

  async append(
    lane: LaneId,
    expected: Head,
    entries: readonly Entry[],
    authority: Epoch,
  ): Promise<AppendOutcome> {
    const head = this.#head(lane);
    const last = entries.at(-1);
    const outcome = append(head, entries, authority);
    const kept = expected.firstLsn !== head.firstLsn || expected.generation !== head.generation;
    // As the adapter does, whose one write of the head would undo what retention has done.
    if (kept && outcome.kind === 'appended' && !outcome.again) return { kind: 'moved', head };
    if (outcome.kind !== 'appended') {
      const there = last && this.#lane(lane).some(({ chain }) => chain === last.chain);
      return there ? { kind: 'appended', head, again: true } : outcome;
    }
    if (!outcome.again) {
      this.#lane(lane).push(...entries);
      this.#heads.set(lane, outcome.head);
    }
    return outcome;
  }

  async seal(lane: LaneId, epoch: Epoch): Promise<SealOutcome> {
    const outcome = seal(this.#head(lane), epoch);
    this.#heads.set(lane, outcome.head);
    return outcome;
  }

  async rebase(lane: LaneId, expected: Head, onto: Head): Promise<Head> {
    const head = this.#head(lane);
    if (!isInForce(expected, head)) return head;
    const based = rebase(head, onto);
    this.#heads.set(lane, based);
    // Nothing of the own log is left, on either side of where it starts over.
    this.#entries.set(lane, []);
    return based;
  }

  async rewind(lane: LaneId, expected: Head, entry: Entry): Promise<Head> {
    const head = this.#head(lane);
    if (!isInForce(expected, head)) return head;
    const back = rewind(head, entry);
    this.#heads.set(lane, back);
    this.#entries.set(
      lane,
      this.#lane(lane).filter((each) => each.first <= entry.first),
    );
    return back;
  }

  async unlink(
    lane: LaneId,
    expected: Head,
    entry: Entry,
    authority: Epoch,
    atMs: number,
  ): Promise<KeepOutcome> {
    const head = this.#head(lane);
    const outcome = unlink(head, entry.first, authority, atMs);
    if (outcome.kind !== 'kept') return outcome;
    const there = this.#lane(lane).some(({ chain }) => chain === entry.chain);
    if (!there || head.firstLsn !== expected.firstLsn) return { kind: 'moved', head };
    this.#heads.set(lane, outcome.head);
    return outcome;
  }

  async dropEntries(lane: LaneId, first: Lsn, authority: Epoch): Promise<DropOutcome> {
    const old = this.#lane(lane)
      .filter((entry) => entry.first < first)
      .slice(0, PAGE);
    if (old.length === 0) return { kind: 'dropped', count: 0 };
    const head = this.#head(lane);
    if (head.sealedEpoch > authority) return { kind: 'fenced', head };
    if (head.firstLsn < first) return { kind: 'moved', head };
    this.#entries.set(lane, this.#lane(lane).slice(old.length));
    return { kind: 'dropped', count: old.length };
  }

  async nextGeneration(lane: LaneId, authority: Epoch): Promise<KeepOutcome> {
    const head = this.#heads.get(lane);
    if (head === undefined) return { kind: 'moved', head: this.#head(lane) };
    const outcome = nextGeneration(head, authority);
    this.#heads.set(lane, outcome.head);
    return outcome;
  }

  async segments(after?: StoredSegment): Promise<readonly StoredSegment[]> {
    const from = after === undefined ? '' : nameOf(after);
    return [...this.#segments]
      .flatMap(([hash, stored]) => [...stored.keys()].map((generation) => ({ hash, generation })))
      .filter((each) => nameOf(each) > from)
      .toSorted((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
      .slice(0, PAGE);
  }

  async dropSegments(segments: readonly StoredSegment[]): Promise<void> {
    for (const { hash, generation } of segments) this.#segments.get(hash)?.delete(generation);
  }

  /** Without a pause, so that whatever reads the head and moves it is one step. */
  #head(lane: LaneId): Head {
    return this.#heads.get(lane) ?? emptyHead(this.#group, lane);
  }

  #lane(lane: LaneId): Entry[] {
    const entries = this.#entries.get(lane) ?? [];
    this.#entries.set(lane, entries);
    return entries;
  }
}

/** Throws SEGMENT_MISSING where there are no bytes, and SEGMENT_FORGED where they are not those of the name. */
export function checkedSegment(hash: string, bytes: Uint8Array | undefined): Uint8Array {
  if (bytes === undefined) {
    throw new UnderstudyError('SEGMENT_MISSING', `no segment ${hash}`, 'Put it first.');
  }
  if (digest('sha256', bytes) === hash) return bytes;
  throw new UnderstudyError('SEGMENT_FORGED', `segment ${hash} holds other bytes`, 'Look at who put it.');
}

function isInForce(expected: Head, head: Head): boolean {
  return (
    head.chain === expected.chain &&
    head.sealedEpoch === expected.sealedEpoch &&
    head.firstLsn === expected.firstLsn &&
    head.generation === expected.generation
  );
}

function nameOf({ hash, generation }: StoredSegment): string {
  return `${hash}.${String(generation).padStart(10, '0')}`;
}

/** The index of the first entry that starts at `lsn` or later. */
function indexFrom(entries: readonly Entry[], lsn: Lsn): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle] as Entry).first < lsn) low = middle + 1;
    else high = middle;
  }
  return low;
}
