import pg from 'pg';
import type { Endpoints } from '#lib/aws/config.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { REFUSED } from '#lib/engines/postgres/lease-guard-sql.ts';
import { isOfUsers } from '#lib/engines/postgres/own-names.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import { asApplicationRole } from '#lib/local/application-role.ts';
import { BANK, MONEY, OPEN_ACCOUNTS, someTransfer, transferStatement } from '#lib/local/demo/bank.ts';
import { OPEN_DOCUMENTS, someChange } from '#lib/local/demo/documents.ts';
import type { DrillStore, Held, Intruder } from '#lib/local/drill/stores/drill-store.ts';
import { HELD_UP_MS } from '#lib/local/drill/stores/strain.ts';

/** Sessions of an intruder. */
export const INTRUDER_SESSIONS = 4;

/** The moment by the database's own clock, Unix ms: the statement has written all else by then. */
const WRITTEN = 'RETURNING extract(epoch FROM clock_timestamp())::float8 * 1000 AS ms';

/** Of so many writes, one changes a wide row. */
const WIDE_EVERY = 4;

/** A bank in PostgreSQL databases: each write is a transfer, or a change of a document, with a reference of its own. */
export class BankStore implements DrillStore {
  readonly #endpoints: Endpoints;

  constructor(endpoints: Endpoints) {
    this.#endpoints = endpoints;
  }

  async begin(leader: RegionId): Promise<void> {
    await this.#query(leader, `${OPEN_ACCOUNTS}; ${OPEN_DOCUMENTS}`);
  }

  writeOf(n: number): { readonly id: string; readonly body: object } {
    const id = `write#${n}`;
    if (n % WIDE_EVERY === 0) return { id, body: someChange(Math.random, id) };
    return { id, body: { ...someTransfer(Math.random), reference: id } };
  }

  load(): Promise<never> {
    throw new Error('a database has no items');
  }

  async heldBy(region: RegionId): Promise<Held> {
    const written = await this.#query<{ reference: string }>(
      region,
      `SELECT reference FROM ${BANK}.transfers UNION ALL SELECT unnest(writes) FROM ${BANK}.documents`,
    );
    const [sum] = await this.#query<{ money: string }>(
      region,
      `SELECT sum(balance) AS money FROM ${BANK}.accounts`,
    );
    const torn = await this.#query(
      region,
      `SELECT FROM ${BANK}.documents WHERE version <> cardinality(writes)`,
    );
    const broken = [
      ...(Number(sum?.money) === MONEY ? [] : [`${region} has ${sum?.money} in its accounts, not ${MONEY}`]),
      ...(torn.length > 0 ? [`${region} has ${torn.length} documents that lack a part of a change`] : []),
    ];
    return {
      ids: new Set(written.map(({ reference }) => reference)),
      others: await this.#othersIn(region),
      broken,
    };
  }

  writeIdsOf(change: unknown): readonly string[] {
    const { after, table } = change as {
      table?: string;
      after?: { readonly reference?: string | null; readonly writes?: string | null } | null;
    };
    if (table === `${BANK}.documents`) return after?.writes?.match(/write#\d+/g) ?? [];
    return table === `${BANK}.transfers` && after?.reference ? [after.reference] : [];
  }

  async strain(region: RegionId): Promise<void> {
    // Who reads shares the lock with others who do; a canary waits for all that have it.
    await this.#query(
      region,
      `DO $$ DECLARE ends_at timestamptz; BEGIN
         LOCK TABLE understudy.heartbeat IN SHARE MODE;
         ends_at := clock_timestamp() + interval '${HELD_UP_MS} ms';
         WHILE clock_timestamp() < ends_at LOOP
           PERFORM count(*) FROM ${BANK}.transfers a, ${BANK}.accounts b WHERE a.amount <> b.balance;
         END LOOP;
       END $$`,
    );
  }

  /** Sessions of the application's role that ask for no lease. What the lease guard refuses is tried again; nothing else is. */
  async intrude(region: RegionId): Promise<Intruder> {
    const acknowledged: Intruder['acknowledged'][number][] = [];
    let isStopped = false;
    const clients = await Promise.all(
      Array.from({ length: INTRUDER_SESSIONS }, async () => {
        const client = new pg.Client(asApplicationRole(this.#endpoints[region]!.postgres!));
        client.on('error', () => {});
        await client.connect();
        return client;
      }),
    );
    const running = clients.map(async (client, session) => {
      for (let n = 0; !isStopped; n += 1) {
        const id = `intruder#${session}-${n}`;
        const write = transferStatement({ ...someTransfer(Math.random), reference: id }, Date.now());
        try {
          const { rows } = await client.query<{ ms: number }>({ ...write, text: `${write.text} ${WRITTEN}` });
          acknowledged.push({ id, atMs: Date.now(), writtenMs: rows.at(-1)!.ms });
        } catch (error) {
          if (sqlState(error) !== REFUSED) throw error;
        }
      }
    });
    const ended = Promise.allSettled(running);
    return {
      acknowledged,
      async stop() {
        isStopped = true;
        await ended;
        await Promise.all(clients.map((client) => client.end()));
      },
    };
  }

  async #othersIn(region: RegionId): Promise<Readonly<Record<string, number>>> {
    const tables = await this.#query<{ name: string }>(
      region,
      `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND ${isOfUsers('n.nspname')}
          AND n.nspname <> '${BANK}' ORDER BY 1`,
    );
    const count = tables.map(
      ({ name }) => `SELECT ${literal(name)} AS name, count(*)::int AS rows FROM ${name}`,
    );
    const counted =
      count.length === 0
        ? []
        : await this.#query<{ name: string; rows: number }>(region, count.join(' UNION ALL '));
    return Object.fromEntries(counted.map(({ name, rows }) => [name, rows]));
  }

  async #query<T extends object>(region: RegionId, sql: string): Promise<T[]> {
    // Understudy's own way in: a fence is for others.
    const client = await connector({ connectionString: this.#endpoints[region]!.postgres! })();
    try {
      return (await client.query<T>(sql)).rows;
    } finally {
      await client.end();
    }
  }
}
