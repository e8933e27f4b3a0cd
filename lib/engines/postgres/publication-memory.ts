import type pg from 'pg';
import { checkPublication, publicationAltered } from '#lib/engines/postgres/publication.ts';
import type { SlotName } from '#lib/engines/postgres/slot-session.ts';

/*
 * The server judges each change by the publication as it was then: what was narrowed and mended again has left out changes, and
 * looks as it always did. But an altered row of a catalogue is another version, and a table that is added again another row.
 * So the rows that a slot was last read by are kept, also those of tables that are published no more. A new slot knows nothing.
 */
export const PUBLICATION_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.publication_part (
    slot text, part text, version text NOT NULL, PRIMARY KEY (slot, part))`;

const PARTS = `
  SELECT 'all' AS part, format('%s/%s', p.oid, p.xmin) AS version, 'itself' AS name FROM pg_publication p WHERE p.pubname = $2
  UNION ALL
  SELECT format('table %s', r.prrelid), format('%s/%s', r.oid, r.xmin), r.prrelid::regclass::text
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $2
  UNION ALL
  SELECT format('schema %s', s.pnnspid), format('%s/%s', s.oid, s.xmin), s.pnnspid::regnamespace::text
    FROM pg_publication_namespace s JOIN pg_publication p ON p.oid = s.pnpubid WHERE p.pubname = $2`;

const remember = (onConflict: string) => `
  WITH now AS (${PARTS}),
  noted AS (INSERT INTO understudy.publication_part AS known SELECT $1, part, version FROM now ON CONFLICT ${onConflict})
  SELECT now.name FROM now JOIN understudy.publication_part known ON known.slot = $1 AND known.part = now.part
   WHERE known.version <> now.version ORDER BY 1`;
const REMEMBER_NEW = remember('DO NOTHING');
const REMEMBER_ALL = remember(
  '(slot, part) DO UPDATE SET version = EXCLUDED.version WHERE known.version <> EXCLUDED.version',
);

/**
 * Checks that a publication leaves out nothing, nor has since the slot was last opened. What was said of one that does is not
 * said again once it is mended.
 *
 * @param follows whatever was left out was none of the group's: it is not asked for.
 *
 * Throws PUBLICATION_UNFIT.
 */
export async function checkAndRemember(
  client: pg.Client,
  { slot, publication }: SlotName,
  follows: boolean,
): Promise<void> {
  try {
    await checkPublication(client, publication);
  } catch (unfit) {
    await client.query('DELETE FROM understudy.publication_part WHERE slot = $1', [slot]);
    throw unfit;
  }
  const text = follows ? REMEMBER_ALL : REMEMBER_NEW;
  const { rows } = await client.query<{ name: string }>(text, [slot, publication]);
  if (follows || rows.length === 0) return;
  throw publicationAltered(
    publication,
    rows.map(({ name }) => name),
  );
}
