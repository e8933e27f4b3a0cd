import pg from 'pg';
import type { Endpoints } from '#lib/aws/config.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { REFUSED } from '#lib/engines/postgres/lease-guard-sql.ts';
import { sqlState } from '#lib/engines/postgres/postgres-failure.ts';
import { asApplicationRole } from '#lib/local/application-role.ts';
import { MONEY, OPEN_ACCOUNTS, someTransfer, transferStatement } from '#lib/local/demo/bank.ts';
import type { DrillStore, Held, Intruder } from '#lib/local/drill/stores/drill-store.ts';

/** Sessions of an intruder. */
export const INTRUDER_SESSIONS = 4;

/** A bank in PostgreSQL databases: each write is a transfer with a reference of its own. */
export class BankStore implements DrillStore {
  readonly #endpoints: Endpoints;

  constructor(endpoints: Endpoints) {
    this.#endpoints = endpoints;
  }

  async begin(leader: RegionId): Promise<void> {
    await this.#query(leader, OPEN_ACCOUNTS);
  }

  writeOf(n: number): { readonly id: string; readonly body: object } {
    const id = `write#${n}`;
    return { id, body: { ...someTransfer(Math.random), reference: id } };
  }

  load(): Promise<never> {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      '--load takes items of DynamoDB tables',
      'Leave it out with --engine postgres.',
    );
  }

  async heldBy(region: RegionId): Promise<Held> {
    const written = await this.#query<{ reference: string }>(region, 'SELECT reference FROM transfers');
    const [sum] = await this.#query<{ money: string }>(region, 'SELECT sum(balance) AS money FROM accounts');
    const broken =
      Number(sum?.money) === MONEY ? [] : [`${region} has ${sum?.money} in its accounts, not ${MONEY}`];
    return { ids: new Set(written.map(({ reference }) => reference)), others: 0, broken };
  }

  writeIdOf(change: unknown): string | undefined {
    const { after, table } = change as {
      table?: string;
      after?: { readonly reference?: string | null } | null;
    };
    return table === 'public.transfers' ? (after?.reference ?? undefined) : undefined;
  }

  strain(region: RegionId): Promise<unknown> {
    return this.#query(region, 'SELECT count(*) FROM transfers a, accounts b WHERE a.amount <> b.balance');
  }

  /** Sessions of the application's role that ask for no lease. What the lease guard refuses is tried again; nothing else is. */
  async intrude(region: RegionId): Promise<Intruder> {
    const acknowledged: { id: string; atMs: number }[] = [];
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
          await client.query(write);
          acknowledged.push({ id, atMs: Date.now() });
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
