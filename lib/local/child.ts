import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import {
  describeExit,
  type Exit,
  notStarted,
  type Supervised,
  tailOf,
  withinStartTime,
} from '#lib/local/supervised.ts';

/** The first message of every Node child: it is up. Entries send it through `serveParent` (parent.ts). */
export type Ready = { readonly kind: 'ready' };

/** A Node process with an IPC channel. Messages are structured clones, so bigint and bytes pass. */
export type Child = Supervised & {
  /** Settles with the child's first message; rejects with SERVER_NOT_STARTED if it ends or times out first. */
  readonly ready: Promise<Ready>;
  /** False if the child is gone; true says nothing about what it did with the message. */
  send(message: object): boolean;
  /** Hears every message after the first. */
  onMessage(listen: (message: unknown) => void): void;
  /** The last 4 KiB that it wrote to stderr. */
  stderr(): string;
};

export type SpawnOptions = {
  /** What it is, for people, e.g. `S3 server of eu-west-1`. */
  readonly name: string;
  readonly args?: readonly string[];
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends it, also while it is coming up. */
  readonly signal?: AbortSignal;
};

/** The module by its source's name; in the published package, what was built of it. */
function builtIf(entry: URL): URL {
  return import.meta.url.endsWith('.js') ? new URL(entry.href.replace(/\.ts$/, '.js')) : entry;
}

/**
 * Runs a module in a Node process of its own. It leads its own process group, so that Ctrl-C reaches only this
 * process, which decides; it ends when this process does because its IPC channel closes (parent.ts).
 */
export function spawnNode(entry: URL, { name, args = [], env = {}, signal }: SpawnOptions): Child {
  const child = fork(fileURLToPath(builtIf(entry)), [...args], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    serialization: 'advanced',
    detached: true,
    ...(signal && { signal, killSignal: 'SIGKILL' }),
  });
  // stdio asks for the pipe, so it is there.
  const stderr = tailOf(child.stderr!);
  const exited = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    // A process that could not be spawned never exits.
    child.once('error', () => child.pid === undefined && resolve({ code: null, signal: null }));
  });

  const failed = new Promise<never>((_, reject) => {
    // 'close' comes after 'exit' and after the last of stderr.
    child.once('close', (code, signal) => reject(notStarted(name, describeExit({ code, signal }), stderr())));
    child.once('error', (error) => reject(notStarted(name, error.message, stderr())));
  });
  const listeners = new Set<(message: unknown) => void>();
  const first = new Promise<Ready>((resolve) => {
    child.once('message', (message) => {
      resolve(message as Ready);
      child.on('message', (later) => {
        for (const listen of listeners) listen(later);
      });
    });
  });
  const ready = withinStartTime(name, Promise.race([first, failed]), stderr);
  ready.catch(() => child.kill('SIGKILL'));

  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await exited;
  };
  return {
    name,
    pid: child.pid ?? 0,
    ready,
    exited,
    send: (message) => child.connected && child.send(message, () => {}),
    onMessage: (listen) => void listeners.add(listen),
    stderr,
    kill: (signal) => void child.kill(signal),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
