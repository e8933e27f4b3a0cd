import { ByteReader } from '#lib/domain/segment/byte-reader.ts';
import { ByteWriter } from '#lib/domain/segment/byte-writer.ts';
import { MAX_NAMES, MAX_SCHEMA_BYTES } from '#lib/domain/segment/format.ts';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import { malformed } from '#lib/engines/postgres/pgoutput/malformed.ts';
import { tableName } from '#lib/engines/postgres/quote.ts';

/*
 * The schema of a segment: for each of its tables, in order, the native Relation message (empty for what belongs to
 * no table) and the number of its Type messages, which follow. Lengths and numbers are varints.
 */
export function putTables(tables: readonly (DescribedTable | undefined)[]): Uint8Array {
  const out = new ByteWriter();
  for (const table of tables) {
    out.bytes(table?.message ?? new Uint8Array());
    out.varint(table?.types.length ?? 0);
    for (const type of table?.types ?? []) out.bytes(type);
  }
  return out.view();
}

/** Throws SEGMENT_CORRUPT or PGOUTPUT_MALFORMED. */
export function takeTables(schema: Uint8Array, count: number): readonly (DescribedTable | undefined)[] {
  const from = new ByteReader(schema);
  const tables: (DescribedTable | undefined)[] = [];
  for (let left = count; left > 0; left -= 1) {
    const message = from.bytes(MAX_SCHEMA_BYTES);
    const types: Uint8Array[] = [];
    for (let more = from.count(MAX_NAMES, 1); more > 0; more -= 1) types.push(from.bytes(MAX_SCHEMA_BYTES));
    if (message.length === 0) {
      tables.push(undefined);
      continue;
    }
    const relation = decodeMessage(message);
    if (relation.kind !== 'relation') throw malformed('stands where a table is described');
    tables.push({ name: tableName(relation), relation, message, types });
  }
  from.done();
  return tables;
}
