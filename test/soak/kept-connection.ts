import type pg from 'pg';
import { connector } from '#lib/engines/postgres/connect.ts';

/** A connection that is kept, and made anew once something has failed on it. One user at a time. */
export class KeptConnection {
  readonly #url: string;
  #client: pg.Client | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async with<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const connect = connector({ connectionString: this.#url });
    this.#client ??= await connect({ applicationName: 'soak' });
    try {
      return await work(this.#client);
    } catch (error) {
      await this.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(() => {});
  }
}
