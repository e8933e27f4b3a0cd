import type { ChangeRecord } from '#lib/domain/change.ts';
import { lastOf } from '#lib/domain/log.ts';
import { advance, type Lsn } from '#lib/domain/lsn.ts';
import { openSegment, type Segment } from '#lib/domain/segment/read.ts';
import { commitLsnOf, type DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { takeTables } from '#lib/engines/postgres/segment-tables.ts';
import type { PlacedSegment } from '#lib/ports/replica-store.ts';

/** Where a transaction that is whole ends in a log. */
export type TransactionEnd = {
  readonly placed: PlacedSegment;
  readonly lsn: Lsn;
  readonly commitMs: number;
  /** WAL position of its commit at the leader. */
  readonly commitLsn: bigint;
  /** The slot that it came from. */
  readonly shard: string;
};

export type ReadSegment = {
  readonly placed: PlacedSegment;
  readonly segment: Segment;
  readonly tables: readonly (DescribedTable | undefined)[];
};

/** Segments of one epoch that follow on each other, read from a position on, record by record. */
export class RunReader {
  #segments: readonly ReadSegment[];
  readonly #from: Lsn;
  /** Where the run ends, if before its last segment does. */
  #last: TransactionEnd | undefined;

  /** @param position what was read before. Segments after the first of another epoch are left for another run. */
  constructor(run: readonly PlacedSegment[], position: Lsn) {
    const epoch = run[0]?.entry.epoch;
    const end = run.findIndex(({ entry }) => entry.epoch !== epoch);
    this.#from = advance(position, 1);
    this.#segments = (end < 0 ? run : run.slice(0, end))
      .filter(({ entry }) => lastOf(entry) >= this.#from)
      .map((placed) => {
        const segment = openSegment(placed.bytes);
        return { placed, segment, tables: takeTables(segment.info.schema, segment.info.tables.length) };
      });
  }

  get segments(): readonly ReadSegment[] {
    return this.#segments;
  }

  /**
   * Tables whose changes are still to be read, as the segment describes them: of those before the position, nobody knows
   * whether they are still like that here. Throws PGOUTPUT_MALFORMED.
   */
  tablesOf({ placed, segment, tables }: ReadSegment): readonly DescribedTable[] {
    const described = tables.filter((table) => table !== undefined);
    if (this.#ordinalIn(placed) === 0) return described;
    const used = new Set<number>();
    this.#forEachUse({ placed, segment, tables }, (oid) => used.add(oid));
    return described.filter(({ relation }) => used.has(relation.oid));
  }

  /**
   * Ends the run with the last transaction that is whole before a segment's first change of a table, else before the
   * segment, in the middle of one; the rest is left for another run. False, and nothing is done, if the run begins with
   * that change.
   */
  stopBefore(segment: ReadSegment, { relation }: DescribedTable): boolean {
    const { entry } = segment.placed;
    let before = lastOf(entry);
    this.#forEachUse(segment, (oid, ordinal) => {
      const use = advance(entry.first, ordinal);
      if (oid === relation.oid && use < before) before = use;
    });
    const last = this.ends().findLast(({ lsn }) => lsn < before);
    const left =
      last === undefined
        ? this.#segments.slice(0, this.#segments.indexOf(segment))
        : this.#segments.filter(({ placed }) => placed.entry.first <= last.lsn);
    if (left.length === 0) return false;
    this.#segments = left;
    this.#last = last;
    return true;
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /** LSN of the run's last record. */
  get end(): Lsn {
    return this.#last?.lsn ?? lastOf(this.#segments.at(-1)!.placed.entry);
  }

  /** The transaction that the first record belongs to: names it among all that any leader ever made. */
  get firstTransaction(): string {
    const { placed, segment } = this.#segments[0]!;
    let name = '';
    const ordinal = this.#ordinalIn(placed);
    this.#visitBlock(segment, ordinal, (record, at) => {
      if (at === ordinal) name = nameOf(segment, record);
    });
    return name;
  }

  get lastTransaction(): string {
    const { segment } = this.#segments.at(-1)!;
    let name = '';
    this.#visitBlock(segment, segment.info.count - 1, (record, at) => {
      if (at === segment.info.count - 1) name = nameOf(segment, record);
    });
    return name;
  }

  /** The last end of a transaction that this run holds; undefined if it is inside of one throughout. */
  lastEnd(): TransactionEnd | undefined {
    if (this.#last !== undefined) return this.#last;
    for (const { placed, segment } of this.#segments.toReversed()) {
      const from = this.#ordinalIn(placed);
      for (const block of segment.info.blocks.toReversed()) {
        let found: TransactionEnd | undefined;
        this.#visitBlock(segment, block.firstOrdinal, (record, ordinal) => {
          if (ordinal < from || record.kind !== 'marker' || record.after?.[0] !== COMMIT) return;
          const { commitMs, sequence } = record;
          const lsn = advance(placed.entry.first, ordinal);
          const shard = segment.info.shards[record.shard]!;
          found = { placed, lsn, commitMs, commitLsn: commitLsnOf(sequence), shard };
        });
        if (found !== undefined) return found;
        if (block.firstOrdinal <= from) break;
      }
    }
    return undefined;
  }

  /** All ends of transactions that this run holds, in order. */
  ends(): readonly TransactionEnd[] {
    const ends: TransactionEnd[] = [];
    if (this.isEmpty) return ends;
    this.forEach(this.end, ({ after, commitMs, kind, sequence, shard }, { placed, segment }, lsn) => {
      if (kind !== 'marker' || after?.[0] !== COMMIT) return;
      ends.push({
        placed,
        lsn,
        commitMs,
        commitLsn: commitLsnOf(sequence),
        shard: segment.info.shards[shard]!,
      });
    });
    return ends;
  }

  /** Calls `visit` for each record up to `end`; the record is valid during the call only, its bytes stay valid. */
  forEach(end: Lsn, visit: (record: ChangeRecord, of: ReadSegment, lsn: Lsn) => void): void {
    for (const of of this.#segments) {
      const { first, count } = of.placed.entry;
      const stop = first + BigInt(count) <= end ? count : Number(end - first) + 1;
      if (stop <= 0) return;
      of.segment.forEach((record, ordinal) => {
        if (ordinal < stop) visit(record, of, advance(first, ordinal));
      }, this.#ordinalIn(of.placed));
    }
  }

  /** Tells of each change that is still to be read, with its ordinal in the segment, which tables it is of, by OID. */
  #forEachUse({ placed, segment, tables }: ReadSegment, visit: (oid: number, ordinal: number) => void): void {
    segment.forEach(({ kind, table, after }, ordinal) => {
      // A commit has the table of the change before it.
      if (kind === 'marker') return;
      const oid = tables[table]?.relation.oid;
      if (oid !== undefined) visit(oid, ordinal);
      if (kind !== 'statement' || after === undefined) return;
      const decoded = decodeMessage(after);
      if (decoded.kind === 'truncate') for (const each of decoded.relations) visit(each, ordinal);
    }, this.#ordinalIn(placed));
  }

  #ordinalIn({ entry }: PlacedSegment): number {
    return entry.first >= this.#from ? 0 : Number(this.#from - entry.first);
  }

  /** Visits the records of the block that holds `ordinal`. */
  #visitBlock(
    segment: Segment,
    ordinal: number,
    visit: (record: ChangeRecord, ordinal: number) => void,
  ): void {
    const block = segment.info.blocks.findLast(({ firstOrdinal }) => firstOrdinal <= ordinal)!;
    const end = block.firstOrdinal + block.count;
    segment.forEach((record, at) => {
      if (at < end) visit(record, at);
    }, block.firstOrdinal);
  }
}

const COMMIT = 0x43;

function nameOf(segment: Segment, { shard, sequence }: ChangeRecord): string {
  return `${segment.info.shards[shard]} ${commitLsnOf(sequence)}`;
}
