import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Random } from '../sim/random.ts';
import type { KeptConnection } from './kept-connection.ts';

const ACCOUNTS = 20;
const DEPOSIT = 100;
const ALL_THE_MONEY = 2 * ACCOUNTS * DEPOSIT;
const PAUSE_MS = 3;
/** A statement of a large transaction: more than one run of the log, so that an applier ends calls in the middle of it. */
const BULK = `INSERT INTO bulk SELECT n, repeat(md5(n::text), 130) FROM generate_series(1, 3000) n`;

export const BANK_SCHEMA = `
  CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);
  CREATE TABLE savings (id int PRIMARY KEY, owner text, balance numeric NOT NULL);
  CREATE TABLE bulk (id int PRIMARY KEY, v text);`;
export const DEPOSITS = `
  INSERT INTO account SELECT n, ${DEPOSIT} FROM generate_series(1, ${ACCOUNTS}) n;
  INSERT INTO savings SELECT n, 'o' || n, ${DEPOSIT} FROM generate_series(1, ${ACCOUNTS}) n`;

/** Moves money inside of tables and across them, in a transaction with savepoints and rollbacks. */
export async function transferMoney(client: pg.Client, random: Random): Promise<void> {
  const table = () => random.pick(['account', 'savings']);
  const one = (from: string) =>
    `id = (SELECT id FROM ${from} ORDER BY id OFFSET floor(${random.next()} * (SELECT count(*) FROM ${from})) LIMIT 1)`;
  const move = () => {
    const [from, to, amount] = [table(), table(), 1 + random.below(50)];
    return [
      `UPDATE ${from} SET balance = balance - ${amount} WHERE ${one(from)}`,
      `UPDATE ${to} SET balance = balance + ${amount} WHERE ${one(to)}`,
    ];
  };
  const close = () => {
    const [from, to] = random.chance(0.5) ? ['account', 'savings'] : ['savings', 'account'];
    return [
      `WITH gone AS (DELETE FROM ${from} WHERE ${one(from)} RETURNING balance)
       INSERT INTO ${to} (id, balance) SELECT ${1000 + random.below(1e6)}, balance FROM gone`,
    ];
  };
  const renumber = () => {
    const at = table();
    return [`UPDATE ${at} SET id = ${1000 + random.below(1e6)} WHERE ${one(at)}`];
  };
  await client.query('BEGIN');
  for (let left = 1 + random.below(4); left > 0; left -= 1) {
    const statements = random.pick([move, move, move, close, renumber])();
    // Now and then only half of it is done, and taken back.
    const done = random.chance(0.2) ? 1 : statements.length;
    let isWhole = !random.chance(0.1);
    await client.query(`SAVEPOINT m${left}`);
    for (const statement of statements.slice(0, done)) {
      const rows = await client.query(statement).then(({ rowCount }) => rowCount, failedStatement);
      isWhole &&= rows === 1;
      if (rows === undefined) break;
      // Between what one has lost and what the other gets: whoever shows a part of it is found out.
      if (random.chance(0.02)) await client.query(`DELETE FROM bulk; ${BULK}`);
    }
    if (!isWhole || done < statements.length) await client.query(`ROLLBACK TO m${left}`);
  }
  await client.query('DELETE FROM bulk WHERE id > 3');
  await client.query(random.chance(0.9) ? 'COMMIT' : 'ROLLBACK');
}

/** What a statement comes to that the server has refused; a lost connection is none of that. */
export function failedStatement(error: unknown): undefined {
  const { code } = error as { code?: unknown };
  if (typeof code !== 'string' || !/^(2|42)/.test(code)) throw error;
}

/** Somebody who counts the money at a follower, over and over, and must find all of it each time. */
export class BankReader {
  readonly #connection: KeptConnection;
  readonly #counting: Promise<void>;
  #isOver = false;
  #looks = 0;

  /** @param missing told of a sum that is not all the money. */
  constructor(connection: KeptConnection, missing: (what: string) => void) {
    this.#connection = connection;
    this.#counting = this.#count(missing);
  }

  get looks(): number {
    return this.#looks;
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#counting;
  }

  async #count(missing: (what: string) => void): Promise<void> {
    while (!this.#isOver) {
      // A server that is down is asked again.
      const sum = await this.#connection
        .with(this.#looks % 2 === 0 ? atOnce : oneByOne)
        .catch(() => undefined);
      if (sum !== undefined) this.#looks += 1;
      if (sum !== undefined && sum !== ALL_THE_MONEY)
        missing(`a reader of the follower found ${sum} of ${ALL_THE_MONEY}`);
      await sleep(PAUSE_MS);
    }
    await this.#connection.end();
  }
}

const SUM = 'SELECT coalesce(sum(balance), 0)::int AS sum FROM';

async function atOnce(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ sum: number }>(`SELECT ((${SUM} account) + (${SUM} savings)) AS sum`);
  return rows[0]!.sum;
}

/** In a transaction of the reader's own, with whatever is applied in between. */
async function oneByOne(client: pg.Client): Promise<number> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  let sum = 0;
  for (const table of ['account', 'savings']) {
    sum += (await client.query<{ sum: number }>(`${SUM} ${table}`)).rows[0]!.sum;
    await sleep(PAUSE_MS);
  }
  await client.query('COMMIT');
  return sum;
}
