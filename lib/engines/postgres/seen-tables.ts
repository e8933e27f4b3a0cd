import type pg from 'pg';
import type { DescribedTable } from '#lib/engines/postgres/captured-change.ts';
import type { Pipeline, Statement } from '#lib/engines/postgres/pipeline.ts';

/** What a follower remembers of a table of the leader's: what it is here, and its columns as they were last described. */
export type SeenTable = { readonly local: number; readonly columns: readonly string[] };

/*
 * A description names a table and its columns, and says nothing of what they were called before. So the last one that
 * was applied is kept, by slot and by the leader's OID, which outlives every name: in the transaction that applies.
 */
export const SEEN_SCHEMA = `
  CREATE SCHEMA IF NOT EXISTS understudy;
  CREATE TABLE IF NOT EXISTS understudy.seen_table (
    shard text, oid bigint, local bigint NOT NULL, columns text[] NOT NULL, PRIMARY KEY (shard, oid))`;

/** What was seen of a former leader's slot says nothing of the next one's. */
const NOTE: Statement = {
  text: `WITH former AS (DELETE FROM understudy.seen_table WHERE shard <> $1)
         INSERT INTO understudy.seen_table VALUES ($1, $2, $3, $4)
         ON CONFLICT (shard, oid) DO UPDATE SET local = EXCLUDED.local, columns = EXCLUDED.columns`,
  types: [25, 20, 20, 1009],
};

const FORGET: Statement = { text: 'DELETE FROM understudy.seen_table', types: [] };

/** The tables of the leader that one session has written to, and all that did before it. */
export class SeenTables {
  readonly #byOid = new Map<string, SeenTable>();
  readonly #news = new Map<string, { readonly shard: string; readonly oid: number }>();
  #isForgotten = false;

  static async read(client: pg.Client): Promise<SeenTables> {
    const seen = new SeenTables();
    const { rows } = await client.query<{ shard: string; oid: string; local: string; columns: string[] }>(
      'SELECT shard, oid, local, columns FROM understudy.seen_table',
    );
    for (const { shard, oid, local, columns } of rows) {
      seen.#byOid.set(`${oid} ${shard}`, { local: Number(local), columns });
    }
    return seen;
  }

  of(shard: string, oid: number): SeenTable | undefined {
    return this.#byOid.get(`${oid} ${shard}`);
  }

  /** OID of another table of the leader's that is the follower's table `local`; undefined if there is none. */
  otherAt(shard: string, oid: number, local: number): number | undefined {
    for (const [key, seen] of this.#byOid) {
      const [other = '', ...rest] = key.split(' ');
      if (seen.local === local && rest.join(' ') === shard && Number(other) !== oid) return Number(other);
    }
    return undefined;
  }

  note(shard: string, { relation }: DescribedTable, local: number): void {
    const key = `${relation.oid} ${shard}`;
    const known = this.#byOid.get(key);
    const columns = relation.columns.map(({ name }) => name);
    if (known?.local === local && known.columns.join('\0') === columns.join('\0')) return;
    this.#byOid.set(key, { local, columns });
    this.#news.set(key, { shard, oid: relation.oid });
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
    for (const [key, { shard, oid }] of this.#news) {
      const { local, columns } = this.#byOid.get(key)!;
      const list = columns.map((name) => `"${name.replaceAll(/["\\]/g, '\\$&')}"`).join(',');
      into.add(NOTE, [shard, `${oid}`, `${local}`, `{${list}}`]);
    }
    this.#news.clear();
  }
}
