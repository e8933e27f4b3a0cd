import type pg from 'pg';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { MESSAGE_PREFIX, OWN_SCHEMA } from '#lib/engines/postgres/own-names.ts';
import { decodeMessage } from '#lib/engines/postgres/pgoutput/decode-message.ts';
import type { Statement } from '#lib/engines/postgres/pipeline.ts';
import { postgresFailure } from '#lib/engines/postgres/postgres-failure.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

/** The epoch for which sequences were advanced last; where the leader's stood when it last told, by name, and when that was. */
export const SEQUENCES_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.sequences (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    epoch bigint NOT NULL,
    told jsonb NOT NULL DEFAULT '{}',
    told_at timestamptz NOT NULL DEFAULT '-infinity');
  INSERT INTO understudy.sequences (epoch) VALUES (0) ON CONFLICT DO NOTHING`;

/** A part of a heartbeat's statement: a row if it is time to tell where the sequences stand. */
export const TELLING_DUE = `due AS (
    UPDATE understudy.sequences SET told_at = clock_timestamp()
     WHERE told_at < clock_timestamp() - interval '10 s' RETURNING 1)`;

/** As JSON: the last value that each has given out, by name. */
export const WHERE_SEQUENCES_STAND = `
  SELECT coalesce(jsonb_object_agg(format('%I.%I', schemaname, sequencename), last_value::text), '{}')::text FROM pg_sequences
   WHERE last_value IS NOT NULL AND NOT cycle AND schemaname <> '${OWN_SCHEMA}' AND schemaname !~ '^pg_temp'`;

/** Keeps at a follower what the leader has told. */
export const NOTE_SEQUENCES: Statement = {
  text: 'UPDATE understudy.sequences SET told = $1',
  types: [3802],
};

/** Where the leader's sequences stand by a message of its log; undefined if it tells something else. */
export function toldSequences(message: Uint8Array): string | undefined {
  const decoded = message[0] === LOGICAL_MESSAGE ? decodeMessage(message) : undefined;
  if (decoded?.kind !== 'message' || decoded.prefix !== MESSAGE_PREFIX) return undefined;
  const text = Buffer.from(decoded.content).toString('utf8');
  return text.startsWith('{') ? text : undefined;
}

const LOGICAL_MESSAGE = 0x4d;

/** Values that are left out, for those that the leader gave out and nobody heard of: so many, or a part of what there is. */
const GAP = 10_000n;
const GAP_PARTS = 100n;

/** `columns` draw from the sequence, and an index begins with each: it knows the largest at once. */
type Sequence = {
  readonly name: string;
  readonly increment: string;
  readonly min: string;
  readonly max: string;
  readonly told: string | null;
  readonly columns: readonly { readonly table: string; readonly column: string }[];
};

/** A sequence that starts over may repeat itself, and its values are not keys. */
const SEQUENCES = `
  WITH uses AS (
    SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS att FROM pg_depend d
     WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    UNION
    SELECT d.refobjid, a.adrelid, a.adnum FROM pg_depend d JOIN pg_attrdef a ON a.oid = d.objid
     WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass)
  SELECT format('%I.%I', n.nspname, c.relname) AS name, s.seqincrement AS increment, s.seqmin AS min, s.seqmax AS max,
         w.told ->> format('%I.%I', n.nspname, c.relname) AS told,
         coalesce((SELECT jsonb_agg(jsonb_build_object('table', u.rel::regclass::text, 'column', a.attname))
            FROM uses u JOIN pg_attribute a ON a.attrelid = u.rel AND a.attnum = u.att
           WHERE u.seq = c.oid AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
             AND EXISTS (SELECT FROM pg_index i WHERE i.indrelid = u.rel AND i.indkey[0] = u.att AND i.indisvalid
                            AND i.indpred IS NULL)), '[]') AS columns
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN understudy.sequences w
   WHERE c.relpersistence <> 't' AND n.nspname <> $1 AND NOT s.seqcycle AND CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'UPDATE') END`;

/**
 * Sets every sequence past all that is known of its leader's, before this database leads an epoch; once an epoch. Past what
 * its columns hold, so that no unique column meets a value again; past what the leader has told; and past a gap, for what
 * it gave out afterwards. Returns how many. Throws POSTGRES_UNREACHABLE, POSTGRES_REFUSED or POSTGRES_FAILED.
 */
export async function advanceSequences(connect: Connect, epoch: Epoch): Promise<number> {
  const client = await connect({ applicationName: 'understudy sentinel' });
  try {
    await client.query('BEGIN');
    const due = await client.query('SELECT FROM understudy.sequences WHERE epoch < $1 FOR UPDATE', [epoch]);
    const { rows } =
      due.rowCount === 0 ? { rows: [] } : await client.query<Sequence>(SEQUENCES, [OWN_SCHEMA]);
    if (rows.length > 0) await client.query(rows.map(advancing).join(';\n'));
    if (due.rowCount !== 0) await client.query('UPDATE understudy.sequences SET epoch = $1', [epoch]);
    await client.query('COMMIT');
    return rows.length;
  } catch (error) {
    throw postgresFailure(error, 'set its sequences on');
  } finally {
    await client.end();
  }
}

/** The statement that advances a sequence. It never goes back, and ends where it ends. */
function advancing({ name, increment, min, max, told, columns }: Sequence): string {
  const isUp = BigInt(increment) > 0n;
  const range = BigInt(max) - BigInt(min);
  const step = isUp ? BigInt(increment) : -BigInt(increment);
  const gap = GAP * step < range / GAP_PARTS ? GAP * step : range / GAP_PARTS;
  const farthest = isUp ? 'greatest' : 'least';
  const known = [
    `(SELECT last_value FROM ${name})`,
    ...(told === null ? [] : [BigInt(told).toString()]),
    ...columns.map(({ table, column }) => `(SELECT ${isUp ? 'max' : 'min'}(${quote(column)}) FROM ${table})`),
  ];
  const past = `${farthest}(${known.join(', ')})::numeric ${isUp ? '+' : '-'} ${gap}`;
  const within = isUp ? `least(${past}, ${max})` : `greatest(${past}, ${min})`;
  return `SELECT setval('${name.replaceAll("'", "''")}'::regclass, (${within})::bigint)`;
}

/** How many sequences the role may not set on. */
export async function fixedSequences(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ fixed: number }>(
    `SELECT count(*)::int AS fixed FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
      WHERE c.relpersistence <> 't' AND c.relnamespace IS DISTINCT FROM to_regnamespace('${OWN_SCHEMA}') AND NOT s.seqcycle AND NOT CASE c.relkind WHEN 'S' THEN has_sequence_privilege(c.oid, 'UPDATE') END`,
  );
  return rows[0]!.fixed;
}
