import { createHash } from 'node:crypto';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import {
  type AppendOutcome,
  append,
  type Entry,
  emptyHead,
  type Head,
  lastOf,
  rebase,
  rewind,
  type SealOutcome,
  seal,
  trim,
} from '#lib/domain/log.ts';
import type { Epoch, Lsn } from '#lib/domain/lsn.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';

/** The log port in memory: the domain's transitions over a map. Twin of the log on S3 and DynamoDB. */
export class MemoryLog implements ReplicaLog {
  readonly #group: GroupId;
  readonly #segments = new Map<string, Uint8Array>();
  readonly #heads = new Map<LaneId, Head>();
  readonly #entries = new Map<LaneId, Entry[]>();

  constructor(group: GroupId) {
    this.#group = group;
  }

  async putSegment(hash: string, bytes: Uint8Array): Promise<void> {
    if (!this.#segments.has(hash)) this.#segments.set(hash, bytes);
  }

  async getSegment(hash: string): Promise<Uint8Array> {
    const bytes = this.#segments.get(hash);
    if (bytes === undefined) {
      throw new UnderstudyError('SEGMENT_MISSING', `no segment ${hash}`, 'Put it first.');
    }
    if (createHash('sha256').update(bytes).digest('hex') === hash) return bytes;
    throw new UnderstudyError('SEGMENT_FORGED', `segment ${hash} holds other bytes`, 'Look at who put it.');
  }

  async head(lane: LaneId): Promise<Head> {
    return this.#head(lane);
  }

  async entries(lane: LaneId, from: Lsn, limit: number): Promise<readonly Entry[]> {
    const entries = this.#lane(lane);
    return entries.filter((entry) => entry.first >= from).slice(0, limit);
  }

  async entryAt(lane: LaneId, lsn: Lsn): Promise<Entry | undefined> {
    return this.#lane(lane).find((entry) => entry.first <= lsn && lastOf(entry) >= lsn);
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
    const trimmed = expected.firstLsn !== head.firstLsn && outcome.kind === 'appended' && !outcome.again;
    // As the adapter does, whose one write of the head would undo the trim.
    if (trimmed) return { kind: 'moved', head };
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

  async trim(lane: LaneId, first: Lsn): Promise<Head> {
    const head = trim(this.#head(lane), first);
    this.#heads.set(lane, head);
    this.#unlinkBefore(lane, head.firstLsn);
    return head;
  }

  async rebase(lane: LaneId, expected: Head, onto: Head): Promise<Head> {
    const head = this.#head(lane);
    const inForce =
      head.chain === expected.chain &&
      head.sealedEpoch === expected.sealedEpoch &&
      head.firstLsn === expected.firstLsn;
    if (!inForce) return head;
    const based = rebase(head, onto);
    this.#heads.set(lane, based);
    // Nothing of the own log is left, on either side of where it starts over.
    this.#entries.set(lane, []);
    return based;
  }

  async rewind(lane: LaneId, expected: Head, entry: Entry): Promise<Head> {
    const head = this.#head(lane);
    if (head.chain !== expected.chain || head.sealedEpoch !== expected.sealedEpoch) return head;
    const back = rewind(head, entry);
    this.#heads.set(lane, back);
    this.#entries.set(
      lane,
      this.#lane(lane).filter((each) => each.first <= entry.first),
    );
    return back;
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

  #unlinkBefore(lane: LaneId, first: Lsn): void {
    this.#entries.set(
      lane,
      this.#lane(lane).filter((entry) => entry.first >= first),
    );
  }
}
