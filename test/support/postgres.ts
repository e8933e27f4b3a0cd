import pg from 'pg';
import { type PostgresServer, startPostgresServer } from '#lib/local/postgres-server.ts';
import { temporaryDirectory } from '../local/until.ts';

/** A server whose data goes with it; every test takes databases of its own. */
export type TestPostgres = AsyncDisposable & {
  readonly server: PostgresServer;
  /** Kills the server as a power cut would, and starts it again on its data. */
  crash(): Promise<void>;
  /** Makes an empty database; returns its connection string. */
  createDatabase(): Promise<string>;
  /** A connection that is closed with the server, if not before. */
  connect(url: string): Promise<pg.Client>;
};

let databases = 0;

export async function startTestPostgres(
  settings: Readonly<Record<string, string | number>> = {},
): Promise<TestPostgres> {
  const directory = await temporaryDirectory();
  const start = (rest: { port?: number } = {}) =>
    startPostgresServer({ directory: directory.path, settings, ...rest });
  let server = await start();
  const clients = new Set<pg.Client>();
  const connect = async (url: string) => {
    const client = new pg.Client({ connectionString: url });
    // A connection that the server ends shows it in the next query.
    client.on('error', () => {});
    await client.connect();
    clients.add(client);
    return client;
  };
  return {
    get server() {
      return server;
    },
    connect,
    async crash() {
      const { port } = server;
      server.kill('SIGKILL');
      await server.exited;
      server = await start({ port });
    },
    async createDatabase() {
      const name = `db${++databases}`;
      const client = await connect(server.url());
      await client.query(`CREATE DATABASE ${name}`);
      await client.end();
      return server.url(name);
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...clients].map((client) => client.end()));
      await server.stop();
      await directory[Symbol.asyncDispose]();
    },
  };
}
