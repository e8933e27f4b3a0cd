import pg from 'pg';
import type { Endpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { BANK, MONEY, OPEN_ACCOUNTS, someTransfer, transferStatement } from '#lib/local/demo/bank.ts';
import type { DemoStore } from '#lib/local/demo/demo-store.ts';
import { LagProbe } from '#lib/local/demo/lag-probe.ts';

/** Sessions of the application. */
const SESSIONS = 8;

/** What a reader sees at one moment: the money, how many accounts there are, and the transfers that are new to it. */
const LOOK = `
  SELECT (SELECT coalesce(sum(balance), 0) FROM ${BANK}.accounts)::bigint AS money,
         (SELECT count(*) FROM ${BANK}.accounts)::int AS accounts,
         (SELECT coalesce(json_agg(json_build_array(id, written_at_ms)), '[]')
            FROM (SELECT id, written_at_ms FROM ${BANK}.transfers WHERE id > $1 ORDER BY id LIMIT 5000) t) AS fresh`;

/** A bank in PostgreSQL databases. */
export class BankDemo implements DemoStore {
  readonly #endpoints: Endpoints;
  readonly #leader: pg.Pool;
  readonly #readers: pg.Pool[] = [];
  readonly #torn: string[] = [];

  private constructor(endpoints: Endpoints, leader: RegionId) {
    this.#endpoints = endpoints;
    this.#leader = this.#pool(leader, SESSIONS);
  }

  /** Opens the accounts at the leader. */
  static async open(endpoints: Endpoints, leader: RegionId): Promise<BankDemo> {
    const bank = new BankDemo(endpoints, leader);
    await bank.#leader.query(OPEN_ACCOUNTS);
    return bank;
  }

  load(): Promise<never> {
    throw new Error('a database has no items');
  }

  async write(): Promise<void> {
    await this.#leader.query(transferStatement(someTransfer(Math.random), Date.now()));
  }

  /** Looks at the money, too, at each look. */
  async probe(region: RegionId): Promise<LagProbe> {
    const reader = this.#pool(region, 1);
    this.#readers.push(reader);
    let last = 0;
    return new LagProbe(async () => {
      const { rows } = await reader.query<{
        money: string;
        accounts: number;
        fresh: [number, number][];
      }>({ name: 'look', text: LOOK, values: [last] });
      const { money, accounts, fresh } = rows[0]!;
      if (accounts !== 0 && Number(money) !== MONEY) {
        this.#torn.push(`${region} had ${money} in ${accounts} accounts, not ${MONEY}`);
      }
      last = fresh.at(-1)?.[0] ?? last;
      return fresh.map(([, atMs]) => atMs);
    });
  }

  torn(): readonly string[] {
    return this.#torn;
  }

  async close(): Promise<void> {
    await Promise.all([this.#leader, ...this.#readers].map((pool) => pool.end()));
  }

  #pool(region: RegionId, max: number): pg.Pool {
    const pool = new pg.Pool({ connectionString: this.#endpoints[region]!.postgres!, max });
    // A session that is lost shows it to whoever asks next.
    pool.on('error', () => {});
    return pool;
  }
}
