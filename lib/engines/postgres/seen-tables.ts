import type pg from 'pg';
import type { Epoch } from '#lib/domain/lsn.ts';
import type { Pipeline, Statement } from '#lib/engines/postgres/pipeline.ts';

/** What a follower remembers of a table of the leader's: what it is here, and its columns as they were last described. */
export type SeenTable = { readonly local: number; readonly columns: readonly string[] };

/*
 * A description names a table and its columns, and says nothing of what they were called before. So the last one that
 * was applied is kept, by epoch and by the leader's OID, which outlives every name: in the transaction that applies.
 */
export const SEEN_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.seen_table (
    epoch bigint, oid bigint, local bigint NOT NULL, columns text[] NOT NULL, PRIMARY KEY (epoch, oid))`;

/** What was seen of a former leader says nothing of the next one's. */
const NOTE: Statement = {
  text: `WITH former AS (DELETE FROM understudy.seen_table WHERE epoch <> $1)
         INSERT INTO understudy.seen_table VALUES ($1, $2, $3, $4)
         ON CONFLICT (epoch, oid) DO UPDATE SET local = EXCLUDED.local, columns = EXCLUDED.columns`,
  types: [20, 20, 20, 1009],
};

const FORGET: Statement = { text: 'DELETE FROM understudy.seen_table', types: [] };

/** The tables of the leader that one session has written to, and all that did before it. */
export class SeenTables {
  readonly #byOid = new Map<string, SeenTable>();
  readonly #news = new Map<string, { readonly epoch: Epoch; readonly oid: number }>();
  #isForgotten = false;

  static async read(client: pg.Client): Promise<SeenTables> {
    const seen = new SeenTables();
    const { rows } = await client.query<{ epoch: string; oid: string; local: string; columns: string[] }>(
      'SELECT epoch, oid, local, columns FROM understudy.seen_table',
    );
    for (const { epoch, oid, local, columns } of rows) {
      seen.#byOid.set(`${epoch} ${oid}`, { local: Number(local), columns });
    }
    return seen;
  }

  of(epoch: Epoch, oid: number): SeenTable | undefined {
    return this.#byOid.get(`${epoch} ${oid}`);
  }

  /** OID of another table of the leader's that is the follower's table `local`; undefined if there is none. */
  otherAt(epoch: Epoch, oid: number, local: number): number | undefined {
    for (const [key, seen] of this.#byOid) {
      const [of, other] = key.split(' ').map(Number);
      if (seen.local === local && of === epoch && other !== oid) return other;
    }
    return undefined;
  }

  note(epoch: Epoch, oid: number, { local, columns }: SeenTable): void {
    const key = `${epoch} ${oid}`;
    const known = this.#byOid.get(key);
    if (known?.local === local && known.columns.join('\0') === columns.join('\0')) return;
    this.#byOid.set(key, { local, columns });
    this.#news.set(key, { epoch, oid });
  }

  /** The tables are copied anew: what came before does not matter. */
  forget(): void {
    this.#byOid.clear();
    this.#news.clear();
    this.#isForgotten = true;
  }

  /** Saves what is new in the transaction that is about to commit. */
  save(into: Pipeline): void {
    if (this.#isForgotten) into.add(FORGET);
    this.#isForgotten = false;
    for (const [key, { epoch, oid }] of this.#news) {
      const { local, columns } = this.#byOid.get(key)!;
      const list = columns.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join(',');
      into.add(NOTE, [`${epoch}`, `${oid}`, `${local}`, `{${list}}`]);
    }
    this.#news.clear();
  }
}
