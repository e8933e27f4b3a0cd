import pg from 'pg';
import type { Endpoints } from '#lib/aws/config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { DemoStore } from '#lib/local/demo/demo-store.ts';
import { LagProbe } from '#lib/local/demo/lag-probe.ts';

const ACCOUNTS = 200;
const OPENING = 1_000;
/** Sessions of the application. */
const SESSIONS = 8;

/** Accounts and transfers between them: the sum of all balances is the same after each transaction. */
export const BANK_SCHEMA = `
  CREATE TABLE accounts (id int PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL);
  CREATE TABLE transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    debit int NOT NULL REFERENCES accounts,
    credit int NOT NULL REFERENCES accounts,
    amount bigint NOT NULL CHECK (amount > 0),
    written_at_ms bigint NOT NULL)`;

const OPEN_ACCOUNTS = `
  INSERT INTO accounts SELECT n, 'customer ' || n, $2 FROM generate_series(1, $1::int) n ON CONFLICT DO NOTHING`;

/** One transaction. The lower account first, so that two transfers between the same accounts do not wait for each other. */
const TRANSFER = `
  WITH locked AS (SELECT id FROM accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE),
       moved AS (
         UPDATE accounts a SET balance = balance + CASE a.id WHEN $1 THEN -$3::bigint ELSE $3::bigint END
           FROM locked l WHERE a.id = l.id)
  INSERT INTO transfers (debit, credit, amount, written_at_ms) VALUES ($1, $2, $3, $4)`;

/** What a reader sees at one moment: the money, how many accounts there are, and the transfers that are new to it. */
const LOOK = `
  SELECT (SELECT coalesce(sum(balance), 0) FROM accounts)::bigint AS money,
         (SELECT count(*) FROM accounts)::int AS accounts,
         (SELECT coalesce(json_agg(json_build_array(id, written_at_ms)), '[]')
            FROM (SELECT id, written_at_ms FROM transfers WHERE id > $1 ORDER BY id LIMIT 5000) t) AS fresh`;

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
    await bank.#leader.query(OPEN_ACCOUNTS, [ACCOUNTS, OPENING]);
    return bank;
  }

  load(): Promise<never> {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      '--load takes items of DynamoDB tables',
      'Leave it out with --engine postgres.',
    );
  }

  async write(): Promise<void> {
    const debit = 1 + Math.floor(Math.random() * ACCOUNTS);
    const credit = 1 + ((debit + Math.floor(Math.random() * (ACCOUNTS - 1))) % ACCOUNTS);
    const amount = 1 + Math.floor(Math.random() * 100);
    await this.#leader.query({
      name: 'transfer',
      text: TRANSFER,
      values: [debit, credit, amount, Date.now()],
    });
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
      if (accounts !== 0 && Number(money) !== ACCOUNTS * OPENING) {
        this.#torn.push(`${region} had ${money} in ${accounts} accounts, not ${ACCOUNTS * OPENING}`);
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
