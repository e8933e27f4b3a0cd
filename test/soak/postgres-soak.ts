import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { LANE_0 } from '#lib/domain/ids.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { PostgresCheckpoints } from '#lib/engines/postgres/postgres-checkpoints.ts';
import { prepareFollower, prepareLeader } from '#lib/engines/postgres/prepare.ts';
import { MemoryLog } from '#lib/local/memory/memory-log.ts';
import { until } from '../local/until.ts';
import { Random } from '../sim/random.ts';
import { GROUP } from '../support/log-history.ts';
import { startTestPostgres, type TestPostgres } from '../support/postgres.ts';
import { contents } from '../support/postgres-follower.ts';
import { runTransaction, WORKLOAD_SCHEMA } from '../support/postgres-workload.ts';
import { RandomTables } from './random-tables.ts';
import { SoakWorker } from './soak-worker.ts';

export type SoakOptions = {
  readonly rounds: number;
  readonly seed: number;
  /** Told after each round. */
  readonly onRound?: (round: number, so: SoakResult) => void;
};
export type Victim = 'leader' | 'follower' | 'capture' | 'apply';
export type SoakResult = {
  readonly transactions: number;
  /** Changes of schema at the leader, and statements that the follower was told to run. */
  readonly altered: number;
  readonly told: number;
  readonly killed: Readonly<Record<Victim, number>>;
};

const SLOT = 'soak';
const CONVERGES_MS = 30_000;
/** Codes that a kill may bring about; all others are defects. */
const PASSING: ReadonlySet<unknown> = new Set(['POSTGRES_UNREACHABLE', 'SLOT_BUSY', 'SCHEMA_DIFFERS']);

/**
 * Rounds of random transactions and changes of schema at a leader, under SIGKILL of its server, of the follower's, of
 * the process that captures, and of the one that applies, each at a random moment. Throws unless after each round every
 * table of the leader is the same at the follower. The seed gives schema, work and kills, but not how far others are then.
 */
export async function soakPostgres({ rounds, seed, onRound }: SoakOptions): Promise<SoakResult> {
  const leader = await startTestPostgres();
  const follower = await startTestPostgres();
  const soak = new Soak(leader, follower, seed);
  try {
    await soak.prepare();
    for (let round = 1; round <= rounds; round += 1) {
      try {
        await soak.round(round);
      } catch (error) {
        throw new Error(`round ${round} of seed ${seed}: ${String(error)}`, { cause: error });
      }
      onRound?.(round, soak.result);
    }
    return soak.result;
  } finally {
    await soak.stop();
    await Promise.all([leader[Symbol.asyncDispose](), follower[Symbol.asyncDispose]()]);
  }
}

class Soak {
  readonly #leader: TestPostgres;
  readonly #follower: TestPostgres;
  readonly #seed: number;
  readonly #kills: Random;
  readonly #tables: RandomTables;
  readonly #log = new MemoryLog(GROUP);
  readonly #killed: Record<Victim, number> = { leader: 0, follower: 0, capture: 0, apply: 0 };
  #urls = { leader: '', follower: '' };
  #workers: Partial<Record<'capture' | 'apply', SoakWorker>> = {};
  #transactions = 0;
  #altered = 0;
  #told = 0;
  #defect: string | undefined;
  /** What failed last, for a round that does not end. */
  #last = '';

  constructor(leader: TestPostgres, follower: TestPostgres, seed: number) {
    this.#leader = leader;
    this.#follower = follower;
    this.#seed = seed;
    this.#kills = new Random(seed + 1);
    this.#tables = new RandomTables(new Random(seed));
  }

  get result(): SoakResult {
    const { leader, follower, capture, apply } = this.#killed;
    const killed = { leader, follower, capture, apply };
    return { transactions: this.#transactions, altered: this.#altered, told: this.#told, killed };
  }

  async prepare(): Promise<void> {
    const urls = {
      leader: await this.#leader.createDatabase(),
      follower: await this.#follower.createDatabase(),
    };
    this.#urls = urls;
    const schema = `${WORKLOAD_SCHEMA}\n${this.#tables.schema}`;
    await this.#with('leader', async (client) => {
      await client.query(schema);
      await prepareLeader(client, 'understudy', SLOT);
    });
    await this.#with('follower', async (client) => {
      await client.query(schema);
      await prepareFollower(client, 'soak');
    });
    for (const role of ['capture', 'apply'] as const) {
      const task = { role, ...urls, slot: SLOT, streams: this.#kills.chance(0.5) };
      this.#workers[role] = new SoakWorker(task, (method, args) => this.#answer(method, args));
    }
  }

  async stop(): Promise<void> {
    await Promise.all(Object.values(this.#workers).map((worker) => worker.stop()));
  }

  async round(round: number): Promise<void> {
    const killing = this.#killSomething();
    const work = new Random(this.#seed * 1000 + round);
    // The first round copies, and a copy wants tables of one schema.
    const alters = work.chance(0.4) && round > 1 ? this.#tables.alter() : [];
    await this.#with('leader', async (client) => {
      for (let left = 1 + work.below(6); left > 0; left -= 1) {
        if (work.chance(0.5)) await runTransaction(client, () => work.next());
        else await this.#tables.transaction(client);
        this.#transactions += 1;
      }
    }).catch(() => {});
    await killing;
    if (alters.length > 0) await this.#with('leader', (client) => this.#alter(client, alters));
    const again = this.#killSomething();
    await this.#converge();
    await again;
    await this.#converge();
    const [expected, found] = await Promise.all([this.#contents('leader'), this.#contents('follower')]);
    for (const [table, rows] of Object.entries(expected)) {
      assert.deepEqual(found[table], rows, `table ${table} is not the same`);
    }
  }

  async #alter(client: pg.Client, statements: readonly string[]): Promise<void> {
    await client.query(`BEGIN; ${statements.join('; ')}; COMMIT`);
    this.#altered += 1;
  }

  async #killSomething(): Promise<void> {
    const kills = this.#kills;
    const [isDue, afterMs, streams] = [kills.chance(0.12), kills.between(0, 120), kills.chance(0.5)];
    const victim = kills.pick<Victim>(['leader', 'follower', 'capture', 'apply']);
    if (!isDue) return;
    await sleep(afterMs);
    this.#killed[victim] += 1;
    if (victim === 'leader') await this.#leader.crash();
    else if (victim === 'follower') await this.#follower.crash();
    else await this.#workers[victim]!.crash(streams);
  }

  /** Waits until all that is committed at the leader by now is applied. */
  async #converge(): Promise<void> {
    let end: string | undefined;
    const checkpoints = new PostgresCheckpoints(connector({ connectionString: this.#urls.follower }));
    const isDone = async () => {
      if (this.#defect !== undefined) throw new Error(this.#defect);
      end ??= await this.#with('leader', async (client) => {
        const { rows } = await client.query<{ end: string }>('SELECT pg_current_wal_insert_lsn() AS end');
        await client.query(`SELECT pg_logical_emit_message(true, 'soak', '')`);
        return rows[0]!.end;
      });
      const isCaptured = await this.#with('leader', async (client) => {
        const { rows } = await client.query<{ done: boolean }>(
          'SELECT confirmed_flush_lsn > $1 AS done FROM pg_replication_slots',
          [end],
        );
        return rows[0]!.done;
      });
      if (!isCaptured) return false;
      const { applied, snapshot } = await checkpoints.applyState(LANE_0);
      const { lastLsn } = await this.#log.head(LANE_0);
      return snapshot === undefined && applied !== undefined && applied.lsn >= lastLsn;
    };
    const reached = async () => {
      try {
        return await isDone();
      } catch (error) {
        if (this.#defect !== undefined) throw error;
        return false; // A server is down.
      }
    };
    await until('the follower has what the leader has', reached, CONVERGES_MS).catch(async (error) => {
      throw new Error(`${String(error)}: ${await this.#positions(end)}; the last failure: ${this.#last}`);
    });
  }

  /** Where everybody stands, for a round that does not end. */
  async #positions(end: string | undefined): Promise<string> {
    const slots = await this.#with('leader', (client) =>
      client.query('SELECT active, confirmed_flush_lsn AS confirmed, wal_status FROM pg_replication_slots'),
    ).catch(String);
    const applied = await this.#with('follower', (client) =>
      client.query('SELECT token, holder, state FROM understudy.checkpoint'),
    ).catch(String);
    const rows = [slots, applied].map((found) => (typeof found === 'string' ? found : found.rows));
    return JSON.stringify({ end, rows, head: `${(await this.#log.head(LANE_0)).lastLsn}` });
  }

  async #answer(method: string, args: readonly unknown[]): Promise<unknown> {
    if (method === 'failed') return this.#failed(args as readonly [string, string, string, string]);
    const call = this.#log[method as keyof MemoryLog] as (...given: unknown[]) => Promise<unknown>;
    return call.apply(this.#log, [...args]);
  }

  /** The operator, who does as the error says if it leaves nothing open. */
  async #failed([role, code, text, next]: readonly [string, string, string, string]): Promise<void> {
    this.#last = `${role}: ${text}`;
    if (!PASSING.has(code) && !/\((57P0\d|08\w{3}|55006|XX000|42P01)\)/.test(text))
      this.#defect ??= this.#last;
    if (code !== 'SCHEMA_DIFFERS') return;
    const told = next.replace(/^Run here[^:]*: /, '').replace("; in the leader's order.", ';');
    if (/;\s+[A-Z](?!LTER|REATE|ROP )/.test(told)) return;
    await this.#with('follower', (client) => client.query(told)).catch((error) => {
      this.#last = `${role}: ${text}; and then: ${String(error)}`;
    });
    this.#told += 1;
  }

  async #contents(at: 'leader' | 'follower') {
    return this.#with(at, contents);
  }

  async #with<T>(at: 'leader' | 'follower', work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await connector({ connectionString: this.#urls[at] })({ applicationName: 'soak' });
    try {
      return await work(client);
    } finally {
      await client.end().catch(() => {});
    }
  }
}
