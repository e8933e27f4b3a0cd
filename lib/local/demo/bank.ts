/**
 * What a demo and a drill replicate of PostgreSQL: accounts and transfers between them, in a schema of their own, so that a
 * user's tables may have any name.
 */
export const BANK = 'demo_bank';

const ACCOUNTS = 200;
const OPENING = 1_000;
/** The sum of all balances, after each transaction. */
export const MONEY = ACCOUNTS * OPENING;

/** A transfer's reference is its client's name for it: the same one twice is one. */
export const BANK_SCHEMA = `
  CREATE SCHEMA ${BANK};
  CREATE TABLE ${BANK}.accounts (id int PRIMARY KEY, owner text NOT NULL, balance bigint NOT NULL);
  CREATE TABLE ${BANK}.transfers (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference text UNIQUE,
    debit int NOT NULL REFERENCES ${BANK}.accounts,
    credit int NOT NULL REFERENCES ${BANK}.accounts,
    amount bigint NOT NULL CHECK (amount > 0),
    written_at_ms bigint NOT NULL)`;

export const OPEN_ACCOUNTS = `
  INSERT INTO ${BANK}.accounts SELECT n, 'customer ' || n, ${OPENING} FROM generate_series(1, ${ACCOUNTS}) n ON CONFLICT DO NOTHING`;

/** Values: debit, credit, amount, moment (Unix ms), reference. */
const TRANSFER = `
  WITH locked AS (SELECT id FROM ${BANK}.accounts WHERE id IN ($1, $2) ORDER BY id FOR UPDATE),
       made AS (
         INSERT INTO ${BANK}.transfers (debit, credit, amount, written_at_ms, reference) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (reference) DO NOTHING RETURNING amount)
  UPDATE ${BANK}.accounts a SET balance = balance + CASE a.id WHEN $1 THEN -m.amount ELSE m.amount END
    FROM locked l, made m WHERE a.id = l.id`;

export type Transfer = {
  readonly debit: number;
  readonly credit: number;
  readonly amount: number;
  readonly reference?: string;
};

/** A transfer between two of the accounts. @param random from 0 to 1, exclusive. */
export function someTransfer(random: () => number): Transfer {
  const debit = 1 + Math.floor(random() * ACCOUNTS);
  const credit = 1 + ((debit + Math.floor(random() * (ACCOUNTS - 1))) % ACCOUNTS);
  return { debit, credit, amount: 1 + Math.floor(random() * 100) };
}

/** The statement that makes a transfer, as one transaction. The lower account first, so that two do not wait for each other. */
export function transferStatement({ debit, credit, amount, reference }: Transfer, atMs: number) {
  return { name: 'transfer', text: TRANSFER, values: [debit, credit, amount, atMs, reference ?? null] };
}
