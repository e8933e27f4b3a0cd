import assert from 'node:assert/strict';
import type pg from 'pg';
import { LANE_0 } from '#lib/domain/ids.ts';
import type { ReplicaLog } from '#lib/ports/replica-log.ts';
import { until } from '../local/until.ts';
import { contents } from '../support/postgres-follower.ts';
import { KeptConnection } from './kept-connection.ts';

type Side = 'leader' | 'follower';
export type Urls = Readonly<Record<Side, string>>;

const SHAPES = `
  SELECT attrelid::regclass::text AS name, string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod),
         CASE WHEN atthasdef THEN 'default' END), ', ' ORDER BY attnum) AS shape
    FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
   WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped GROUP BY 1`;

/** A leader, its log and its follower, as somebody sees them who waits for one to be the other. */
export class ReplicatedPair {
  readonly #log: ReplicaLog;
  readonly #at: Readonly<Record<Side, KeptConnection>>;

  constructor(urls: Urls, log: ReplicaLog) {
    this.#log = log;
    this.#at = { leader: new KeptConnection(urls.leader), follower: new KeptConnection(urls.follower) };
  }

  async end(): Promise<void> {
    await Promise.all(Object.values(this.#at).map((connection) => connection.end()));
  }

  /**
   * Waits until all that is committed at the leader by now is applied; servers may be down meanwhile.
   *
   * @param check throws if it need not be waited for. `told`: what else to say where it takes too long.
   */
  async converge(check: () => void, told: () => string, boundMs: number): Promise<void> {
    let end: string | undefined;
    const isDone = async () => {
      check();
      try {
        end ??= await this.#at.leader.with(endOfLog);
        return (
          (await this.#at.leader.with((client) => isCaptured(client, end!))) && (await this.#isApplied())
        );
      } catch {
        return false; // A server is down.
      }
    };
    await until('the follower has what the leader has', isDone, boundMs).catch(async (error) => {
      check();
      throw new Error(`${String(error)}: ${await this.#positions(end)}\n${told()}`);
    });
  }

  /** Throws unless each table of one is a table of the other, in columns and in rows. */
  async compare(): Promise<void> {
    const [expected, found] = await Promise.all([this.#all('leader'), this.#all('follower')]);
    for (const table of new Set([...Object.keys(expected), ...Object.keys(found)])) {
      assert.deepEqual(found[table], expected[table], `table ${table} is not the same`);
    }
  }

  async #isApplied(): Promise<boolean> {
    const { lastLsn } = await this.#log.head(LANE_0);
    return this.#at.follower.with(async (client) => {
      const { rows } = await client.query<{ done: boolean }>(
        `SELECT (state->'applied'->>'lsn')::bigint >= $1 AND NOT state ? 'snapshot' AS done FROM understudy.checkpoint`,
        [lastLsn],
      );
      return rows[0]?.done === true;
    });
  }

  /** Where everybody stands, for a round that does not end. */
  async #positions(end: string | undefined): Promise<string> {
    const read = (at: 'leader' | 'follower', sql: string) =>
      this.#at[at].with((client) => client.query(sql)).then(({ rows }) => rows, String);
    const slots = await read(
      'leader',
      'SELECT active, confirmed_flush_lsn AS confirmed, wal_status FROM pg_replication_slots',
    );
    const applied = await read('follower', 'SELECT token, holder, state FROM understudy.checkpoint');
    const rows = [slots, applied];
    return JSON.stringify({ end, rows, head: `${(await this.#log.head(LANE_0)).lastLsn}` });
  }

  /** Rows and columns of every table. */
  async #all(at: 'leader' | 'follower'): Promise<Readonly<Record<string, unknown>>> {
    return this.#at[at].with(async (client) => {
      const { rows } = await client.query<{ name: string; shape: string }>(SHAPES);
      const shapes = rows.map(({ name, shape }) => [`columns of ${name}`, shape]);
      return { ...(await contents(client)), ...Object.fromEntries(shapes) };
    });
  }
}

async function endOfLog(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ end: string }>('SELECT pg_current_wal_insert_lsn() AS end');
  await client.query(`SELECT pg_logical_emit_message(true, 'soak', '')`);
  return rows[0]!.end;
}

async function isCaptured(client: pg.Client, end: string): Promise<boolean> {
  const { rows } = await client.query<{ done: boolean }>(
    'SELECT confirmed_flush_lsn > $1 AS done FROM pg_replication_slots',
    [end],
  );
  return rows[0]?.done === true;
}
