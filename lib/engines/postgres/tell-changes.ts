import type pg from 'pg';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { PostgresChange } from '#lib/engines/postgres/divergent-change.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import {
  DELETE,
  NULL,
  OLD_KEY,
  RowChange,
  type Tuple,
  UNCHANGED,
} from '#lib/engines/postgres/pgoutput/row-change.ts';
import type { Parameter } from '#lib/engines/postgres/pipeline.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import { type KnownTable, knownTable } from '#lib/engines/postgres/table-key.ts';
import { type Told, type ToldRow, tellRow } from '#lib/engines/postgres/told-row.ts';
import { inHex, valueAt, valueTexts } from '#lib/engines/postgres/value-texts.ts';

/** Changes with their values as text, and each as the statement that makes it once more. */
export async function tellChanges(
  client: pg.Client,
  changes: readonly PostgresChange[],
): Promise<readonly PostgresChange[]> {
  await client.query(`SET timezone = 'UTC'`);
  const byTable = new Map<string, { readonly table: DescribedTable; readonly places: number[] }>();
  const told = changes.map((change): PostgresChange => ({ ...change, ...tellOther(change) }));
  changes.forEach(({ kind, tables }, place) => {
    const table = tables[0];
    if (table === undefined || kind === 'statement' || kind === 'marker') return;
    // One description of a table may come in many segments.
    const name = Buffer.from(table.message).toString('latin1');
    const known = byTable.get(name);
    if (known === undefined) byTable.set(name, { table, places: [place] });
    else known.places.push(place);
  });
  for (const { table, places } of byTable.values()) {
    const known = await knownTable(client, table);
    const rows = await tellRows(
      client,
      known,
      places.map((place) => changes[place]!.message),
    );
    places.forEach((place, index) => {
      told[place] = { ...told[place]!, ...tellRow(table, known, changes[place]!.kind, rows[index]!) };
    });
  }
  return told;
}

/** A truncation, or a user's message. */
function tellOther({ kind, message, tables }: PostgresChange): Partial<PostgresChange> {
  if (kind !== 'statement' && kind !== 'marker') return {};
  const decoded = decodeMessage(message);
  if (decoded.kind === 'message') {
    const content = literal(Buffer.from(decoded.content).toString('utf8')).trim();
    const sql = `SELECT pg_logical_emit_message(true, ${literal(decoded.prefix).trim()}, ${content})`;
    return { key: { prefix: decoded.prefix }, sql };
  }
  if (decoded.kind !== 'truncate') return {};
  const names = tables.map(({ name }) => name).join(', ');
  const restart = decoded.restartIdentity ? ' RESTART IDENTITY' : '';
  return { table: names, sql: `TRUNCATE ${names}${restart}` };
}

/** The values of rows' messages, all of one description. */
async function tellRows(
  client: pg.Client,
  { columns }: KnownTable,
  messages: readonly Uint8Array[],
): Promise<readonly ToldRow[]> {
  const row = new RowChange();
  const tuples: Parameter[][] = [];
  const take = (tuple: Tuple, wanted: (column: number) => boolean) => {
    const there = columns.flatMap((_, column) =>
      wanted(column) && tuple.kinds[column] !== UNCHANGED ? [column] : [],
    );
    tuples.push(columns.map((_, column) => valueAt(row.bytes, tuple, column)));
    return { at: tuples.length - 1, there };
  };
  const places = messages.map((message) => {
    row.read(message, 0, message.length);
    // An old key's other columns are not NULL: they are not told.
    const isTold = (column: number) => row.old !== OLD_KEY || row.before.kinds[column] !== NULL;
    return {
      ...(row.old !== 0 && { before: take(row.before, isTold) }),
      ...(row.tag !== DELETE && { after: take(row.after, () => true) }),
    };
  });
  const texts = await valueTexts(
    client,
    columns.map(({ type }) => type),
    tuples,
    inHex,
  );
  const told = ({ at, there }: { at: number; there: readonly number[] }): Told =>
    new Map(there.map((column) => [column, texts[at]![column]!]));
  return places.map(({ before, after }) => ({
    ...(before && { before: told(before) }),
    ...(after && { after: told(after) }),
  }));
}
