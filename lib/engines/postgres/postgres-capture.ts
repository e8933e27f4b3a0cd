import type { GroupId, LaneId } from '#lib/domain/ids.ts';
import { SegmentWriter } from '#lib/domain/segment/write.ts';
import type { CapturedChange, DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { putTables } from '#lib/engines/postgres/segment-tables.ts';
import type { CaptureEngine, EncodedBatch } from '#lib/ports/capture-engine.ts';

/** Name under which a segment counts what belongs to no table. */
const NO_TABLE = '(none)';

/** Captures a PostgreSQL database from a slot's changes: native bytes, unparsed, in the order of commit. */
export class PostgresCapture implements CaptureEngine<CapturedChange> {
  readonly #group: GroupId;

  constructor(group: GroupId) {
    this.#group = group;
  }

  sequenceOf(record: CapturedChange): string {
    return record.sequence;
  }

  /**
   * There are no rejects: a transaction without one of its changes is not one that the leader made, so a change that
   * no segment can hold stops capture (CAPTURE_RECORD_REJECTED).
   */
  encode(_lane: LaneId, shard: string, records: readonly CapturedChange[]): EncodedBatch {
    const writer = new SegmentWriter(this.#group);
    const indexes = new Map<DescribedTable | undefined, number>();
    const indexOf = (table: DescribedTable | undefined) => {
      const known = indexes.get(table);
      if (known !== undefined) return known;
      indexes.set(table, indexes.size);
      return indexes.size - 1;
    };
    let newest = 0;
    let newestBeat: number | undefined;
    for (const { kind, tables, sequence, commitMs, beatMs, bytes } of records) {
      const table = indexOf(tables[0]);
      for (let i = 1; i < tables.length; i++) indexOf(tables[i]);
      writer.add({
        kind,
        table,
        shard: 0,
        sequence,
        commitMs,
        body: bytes,
        keyBytes: 0,
        afterBytes: bytes.length,
        beforeBytes: undefined,
      });
      if (commitMs > newest) newest = commitMs;
      if (beatMs !== undefined) newestBeat = Math.max(newestBeat ?? 0, beatMs);
    }
    const last = records.at(-1);
    if (last === undefined) return { segment: undefined, applied: 0, rejects: [] };
    const tables = [...indexes.keys()];
    const { bytes, hash, count, rawBytes, minCommitMs, maxCommitMs } = writer.finish({
      tables: tables.map((table) => table?.name ?? NO_TABLE),
      shards: [shard],
      schema: putTables(tables),
    });
    const beat = newestBeat === undefined ? undefined : { beatMs: newestBeat };
    const marks = { [shard]: { sequence: last.sequence, atMs: newest, ...beat } };
    return {
      segment: { bytes, draft: { hash, count, bytes: rawBytes, minCommitMs, maxCommitMs, marks } },
      applied: 0,
      rejects: [],
    };
  }
}
