import { BANK } from '#lib/local/demo/bank.ts';

/** Wide rows beside a bank's transfers: thirty columns of as many types, one of them a text that is kept out of line (TOAST). */

const DOCUMENTS = 20;

/** `writes`: the references of all writes to the row; their number is its version. */
export const DOCUMENTS_SCHEMA = `
  CREATE TYPE ${BANK}.state AS ENUM ('draft', 'signed', 'void');
  CREATE TABLE ${BANK}.documents (
    id int PRIMARY KEY, version int NOT NULL, writes text[] NOT NULL, changed timestamptz NOT NULL,
    small smallint, big bigint, price numeric(20, 6), exact numeric, ratio float8, single real,
    flag boolean, note varchar(80), code char(8), body text STORAGE EXTERNAL, doc jsonb, raw json, bytes bytea,
    uid uuid, day date, at time, at_zone timetz, moment timestamp, span interval,
    ints int[], matrix numeric[], labels text[], net inet, mac macaddr, bits bit varying(16),
    numbers int4range, spans tstzmultirange, place point, words tsvector, state ${BANK}.state)`;

/** Some 6 KB, which do not compress. */
const BODY = `(SELECT string_agg(md5(random()::text || n), '') FROM generate_series(1, 200) n)`;

export const OPEN_DOCUMENTS = `
  INSERT INTO ${BANK}.documents
  SELECT n, 0, '{}', now(), n, n * 10000000000, n / 7.0, n ^ 30.5, n / 3.0, n / 3.0,
         n % 2 = 0, 'document ' || n, 'D' || n, ${BODY}, jsonb_build_object('n', n, 'tags', '["a", null]'::jsonb), '{"a":  1, "a": 2}', decode(md5(n::text), 'hex'),
         gen_random_uuid(), '2026-01-01'::date + n, '12:00', '12:00+05:30', '0044-03-15 BC', make_interval(months => n, secs => 0.5),
         ARRAY[n, NULL], ARRAY[[n, 0.1], [1e20, -n]], ARRAY['a b', '"', ''], '10.0.0.1/8', '08:00:2b:01:02:03', B'101',
         int4range(n, n + 5), '{}', point(n, -n), to_tsvector('simple', 'a document'), 'draft'
    FROM generate_series(1, ${DOCUMENTS}) n
  ON CONFLICT DO NOTHING`;

/** Values: id, reference. A write that was made is not made again. One in eight has a new body; the others leave it where it is. */
const CHANGE = `
  UPDATE ${BANK}.documents d
     SET version = version + 1, writes = writes || $2::text, changed = clock_timestamp(),
         price = price + 0.000001, exact = exact * 1.5, ratio = random(), flag = NOT flag, note = CASE WHEN flag THEN 'ü' END,
         body = CASE WHEN version % 8 = 7 THEN ${BODY} ELSE body END, doc = doc || jsonb_build_object('version', version),
         uid = gen_random_uuid(), span = span + '1 microsecond', ints = ints || version,
         numbers = int4range(version, NULL), spans = tstzmultirange(tstzrange(now(), NULL)), state = 'signed'
   WHERE id = $1 AND NOT $2 = ANY (writes)`;

export type DocumentChange = { readonly document: number; readonly reference: string };

/** A change of some document. @param random from 0 to 1, exclusive. */
export function someChange(random: () => number, reference: string): DocumentChange {
  return { document: 1 + Math.floor(random() * DOCUMENTS), reference };
}

/** The statement that changes a document, as one transaction. */
export function changeStatement({ document, reference }: DocumentChange) {
  return { name: 'change', text: CHANGE, values: [document, reference] };
}
