import { existsSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { UnderstudyError } from '#lib/domain/errors.ts';
import { type Guarded, spawnGuarded } from '#lib/local/guarded.ts';
import { freePort } from '#lib/local/ports.ts';
import { describeExit, notStarted, type Server, withinStartTime } from '#lib/local/supervised.ts';

export type DynamoServerOptions = {
  /** SQLite file that holds the tables; made if absent. */
  readonly file: string;
  /** For people, e.g. `DynamoDB server of eu-west-1`. */
  readonly name?: string;
  /** Port of an earlier start, to come back on; a free one if absent. */
  readonly port?: number;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

/**
 * Starts a DynamoDB-compatible server (tables and their streams) on 127.0.0.1; what it has answered survives
 * SIGKILL. Throws PLATFORM_UNSUPPORTED where no binary is, SERVER_NOT_STARTED.
 */
export async function startDynamoServer(options: DynamoServerOptions): Promise<Server> {
  const { file, name = 'DynamoDB server', signal } = options;
  const binary = dynamoBinary();
  const port = options.port ?? (await freePort());
  if (!existsSync(file)) await prepare(binary, file, name, port, signal);
  return await serve(binary, file, name, port, signal);
}

/**
 * Makes the file in two steps, the server's schema and then our indexes, under another name until it is whole:
 * a start that breaks off leaves nothing half-made.
 */
async function prepare(
  binary: string,
  file: string,
  name: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const draft = `${file}.new`;
  await mkdir(dirname(file), { recursive: true });
  for (const suffix of ['', '-wal', '-shm']) await rm(draft + suffix, { force: true });
  const server = await serve(binary, draft, name, port, signal);
  await server.stop();
  indexStreams(draft);
  await rename(draft, file);
}

/**
 * The server looks up stream records by table, shard and number, and expires them by age, with no index but
 * the key: each write would cost more the longer the history is.
 */
function indexStreams(file: string): void {
  const database = new DatabaseSync(file);
  try {
    const found = database.prepare("SELECT 1 FROM sqlite_master WHERE name = '_stream_records'").get();
    // Another server keeps its streams elsewhere.
    if (found === undefined) return;
    const records = 'ON _stream_records';
    database.exec(`
      CREATE INDEX IF NOT EXISTS us_1 ${records} (table_name, CAST(sequence_number AS INTEGER));
      CREATE INDEX IF NOT EXISTS us_2 ${records} (table_name, shard_id, sequence_number);
      CREATE INDEX IF NOT EXISTS us_3 ${records} (table_name, shard_id, CAST(sequence_number AS INTEGER));
      CREATE INDEX IF NOT EXISTS us_4 ${records} (created_at);
    `);
  } finally {
    // The last connection to close moves the write-ahead file into the database.
    database.close();
  }
}

async function serve(
  binary: string,
  file: string,
  name: string,
  port: number,
  signal: AbortSignal | undefined,
): Promise<Server> {
  const args = ['serve', '--host', '127.0.0.1', '--port', String(port), '--db-path', file];
  const program = await spawnGuarded(name, binary, args, signal);
  try {
    await withinStartTime(name, answers(program, port), program.stderr);
  } catch (error) {
    await program.stop();
    throw error;
  }
  return { ...program, port, endpoint: `http://127.0.0.1:${port}` };
}

/** Returns once the server answers HTTP; fails if it ends first. */
async function answers(program: Guarded, port: number): Promise<void> {
  const ended = program.exited.then((exit) => {
    throw notStarted(program.name, describeExit(exit), program.stderr());
  });
  const answered = async (): Promise<boolean> => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      response.resume();
      resolve(true);
    }).on('error', () => resolve(false));
    return await promise;
  };
  while (!(await Promise.race([answered(), ended]))) await Promise.race([sleep(4), ended]);
}

/** Path of the server's binary: UNDERSTUDY_DYNAMODB if set, else the bundled one. */
export function dynamoBinary(
  env: NodeJS.ProcessEnv = process.env,
  resolve: (name: string) => string = createRequire(import.meta.url).resolve,
): string {
  const own = env.UNDERSTUDY_DYNAMODB;
  if (own !== undefined && own !== '') return own;
  try {
    return join(dirname(resolve('@dynoxide/linux-x64/package.json')), 'dynoxide');
  } catch (cause) {
    throw new UnderstudyError(
      'PLATFORM_UNSUPPORTED',
      `there is no bundled DynamoDB server for ${process.platform} ${process.arch}`,
      'Run on Linux x64 after npm ci with optional dependencies, or set UNDERSTUDY_DYNAMODB to the path of a ' +
        'DynamoDB-compatible server that takes serve --host H --port N --db-path FILE.',
      { cause },
    );
  }
}
