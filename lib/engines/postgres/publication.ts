import type pg from 'pg';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { quote } from '#lib/engines/postgres/quote.ts';

/** Why a publication leaves out changes, and the statement that mends it. */
export type PublicationFault = { readonly what: string; readonly fix: string };

/** What `CREATE PUBLICATION` and `ALTER PUBLICATION` are told, so that nothing is left out. */
const WHOLE = "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/** As JSON, as servers before 15 have no filters, and those before 18 say nothing of generated columns. */
const FACTS = `
  SELECT p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AS all_kinds, p.pubviaroot AS via_root,
         coalesce(to_jsonb(p) ->> 'pubgencols', 'n') AS generated,
         ARRAY(SELECT format('%I.%I', n.nspname, c.relname) FROM pg_publication_rel r
                 JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE r.prpubid = p.oid AND (to_jsonb(r) ->> 'prqual' IS NOT NULL OR to_jsonb(r) ->> 'prattrs' IS NOT NULL)
                ORDER BY 1) AS narrowed
    FROM pg_publication p WHERE p.pubname = $1`;

/** The statement that makes a publication of everything. */
export function createPublication(publication: string): string {
  return `CREATE PUBLICATION ${quote(publication)} FOR ALL TABLES WITH (${WHOLE})`;
}

/** What of the published tables' changes a publication leaves out; undefined if there is no such publication. */
export async function publicationFaults(
  client: pg.Client,
  publication: string,
): Promise<readonly PublicationFault[] | undefined> {
  const { rows } = await client.query<{
    all_kinds: boolean;
    via_root: boolean;
    generated: string;
    narrowed: string[];
  }>(FACTS, [publication]);
  const facts = rows[0];
  if (facts === undefined) return undefined;
  const alter = `ALTER PUBLICATION ${quote(publication)}`;
  const faults: PublicationFault[] = [];
  if (!facts.all_kinds || !facts.via_root) {
    const what = facts.all_kinds
      ? 'publishes a partitioned table under the names of its partitions'
      : 'does not publish every kind of change';
    faults.push({ what, fix: `${alter} SET (${WHOLE});` });
  }
  if (facts.generated !== 'n') {
    const what = 'publishes generated columns, which a follower computes by itself';
    faults.push({ what, fix: `${alter} SET (publish_generated_columns = none);` });
  }
  if (facts.narrowed.length > 0) {
    const tables = facts.narrowed.join(', ');
    faults.push({
      what: `has row filters or column lists on ${tables}`,
      fix: `BEGIN; ${alter} DROP TABLE ${tables}; ${alter} ADD TABLE ${tables}; COMMIT;`,
    });
  }
  return faults;
}

/** Throws PUBLICATION_UNFIT where a publication is not there, or would leave out changes in silence. */
export async function checkPublication(client: pg.Client, publication: string): Promise<void> {
  const faults = await publicationFaults(client, publication);
  if (faults === undefined) {
    throw unfit(`there is no publication ${publication}`, `${createPublication(publication)};`);
  }
  if (faults.length === 0) return;
  const what = faults.map((fault) => fault.what).join('; it ');
  const fix = faults.map((fault) => fault.fix).join(' ');
  throw unfit(
    `publication ${publication} ${what}`,
    `${fix} What it has left out until then is in no log: if it led already, run understudy verify.`,
  );
}

/** Of one that came only after changes that wait in the slot: it is read as it was at each of them. */
export function publicationLate(publication: string, cause?: unknown): UnderstudyError {
  return new UnderstudyError(
    'PUBLICATION_UNFIT',
    `publication ${publication} was not there yet when changes were made that wait in the slot: they can't be read`,
    'Make a new slot and let every follower take a snapshot, as after SLOT_LOST.',
    { cause },
  );
}

/** Of one that was altered, perhaps back again, in parts. */
export function publicationAltered(publication: string, parts: readonly string[]): UnderstudyError {
  return unfit(
    `publication ${publication} was altered (${parts.join(', ')}) since the slot was last opened: what it may have left out meanwhile is in no log`,
    'DELETE FROM understudy.publication_part; It goes on then. Run understudy verify; a follower that differs is to be copied anew.',
  );
}

/** Was a slot not read for want of a publication? Its SQLSTATE is that of a missing slot, too. */
export function isPublicationMissing(error: unknown): boolean {
  return (error as { routine?: unknown } | null)?.routine === 'get_publication_oid';
}

/** Calls `then` when the server warns, as from 18 on it does, that it skips changes for want of a publication. */
export function onPublicationSkipped(
  client: pg.Client,
  publication: string,
  then: (error: UnderstudyError) => void,
): void {
  client.on('notice', ({ routine }) => {
    if (routine === 'LoadPublications') then(publicationLate(publication));
  });
}

function unfit(what: string, fix: string): UnderstudyError {
  return new UnderstudyError('PUBLICATION_UNFIT', what, `Run there: ${fix}`);
}
