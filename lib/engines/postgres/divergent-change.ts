import type { DivergentChange } from '#lib/domain/control/divergence.ts';
import { type Entry, lastOf } from '#lib/domain/log.ts';
import { advance } from '#lib/domain/lsn.ts';
import { openSegment } from '#lib/domain/segment/read.ts';
import { commitLsnOf, type DescribedTable, walText } from '#lib/engines/postgres/captured-change.ts';
import { MESSAGE_PREFIX } from '#lib/engines/postgres/own-names.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';
import { takeTables } from '#lib/engines/postgres/segment-tables.ts';

/** A change of rows, a truncation or a user's message of a divergent tail, in the server's own bytes. */
export type PostgresChange = DivergentChange & {
  readonly message: Uint8Array;
  /** The tables that the bytes refer to: one for a row. */
  readonly tables: readonly DescribedTable[];
};

/** The changes of a segment; without ends of transactions and Understudy's own messages. Throws SEGMENT_CORRUPT. */
export function readChanges(bytes: Uint8Array, entry?: Entry): readonly PostgresChange[] {
  const segment = openSegment(bytes);
  const { info } = segment;
  const described = takeTables(info.schema, info.tables.length);
  const changes: PostgresChange[] = [];
  segment.forEach((record, ordinal) => {
    const { kind, commitMs, sequence } = record;
    const lsn = entry && advance(entry.first, ordinal);
    if (record.after === undefined) throw malformed('is not in its record');
    const message = Buffer.from(record.after);
    const tables = tablesOf(message, kind, described, described[record.table]);
    if (tables === undefined) return;
    changes.push({
      kind,
      key: {},
      message,
      tables,
      commitMs,
      shard: info.shards[record.shard]!,
      sequence,
      transaction: walText(commitLsnOf(sequence)),
      ...(entry !== undefined && lsn !== undefined && lsn <= lastOf(entry) && { lsn }),
    });
  });
  return changes;
}

/** Undefined for what is no change. */
function tablesOf(
  message: Uint8Array,
  kind: DivergentChange['kind'],
  described: readonly (DescribedTable | undefined)[],
  own: DescribedTable | undefined,
): readonly DescribedTable[] | undefined {
  if (kind === 'marker') {
    const decoded = decodeMessage(message);
    return decoded.kind === 'message' && decoded.prefix !== MESSAGE_PREFIX ? [] : undefined;
  }
  if (kind !== 'statement') {
    if (own === undefined) throw malformed('belongs to no table');
    return [own];
  }
  const decoded = decodeMessage(message);
  if (decoded.kind !== 'truncate') throw malformed('is not a statement');
  return decoded.relations.map((oid) => {
    const table = described.find((each) => each?.relation.oid === oid);
    if (table === undefined) throw malformed(`refers to table ${oid}, which was not described`);
    return table;
  });
}
