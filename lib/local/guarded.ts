import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { describeExit, type Exit, notStarted, type Supervised, tailOf } from '#lib/local/supervised.ts';

/** A foreign program that cannot outlive this process, nor leave processes of its own behind when it is killed. */
export type Guarded = Supervised & { readonly stderr: () => string };

/**
 * Runs "$@" and prints its process id. Standard input is a pipe that only our process holds open: it closes
 * when our process ends, even by SIGKILL, and then the guard kills the program and its processes. A POSIX shell
 * gives a background command no standard input, hence descriptor 3.
 */
const SCRIPT = `
exec 3<&0
"$@" </dev/null >&2 3<&- &
program=$!
echo "$program"
exec >&2
(
  read -r _ <&3
  kill -STOP "$program"
  kill -KILL "$program" $(cat "/proc/$program/task/$program/children" || pgrep -P "$program")
) 2>/dev/null &
guard=$!
exec 3<&-
wait "$program"
status=$?
kill -KILL "$guard"
exit "$status"
`;

/**
 * Starts a program in a process group of its own (Ctrl-C does not reach it); `pid` is the program's own.
 *
 * @param signal ends it.
 * @param user who runs it, if not who runs this process.
 */
export async function spawnGuarded(
  name: string,
  command: string,
  args: readonly string[],
  signal?: AbortSignal,
  user?: { readonly uid: number; readonly gid: number },
): Promise<Guarded> {
  const shell = spawn('sh', ['-c', SCRIPT, 'sh', command, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    // Somebody else may not be let into the folder in which this process is.
    ...(user && { ...user, cwd: '/' }),
  });
  // Nothing is ever written, but a shell that is gone may still break the pipe.
  shell.stdin.on('error', () => {});
  const stderr = tailOf(shell.stderr);

  const printed = new Promise<number>((resolve, reject) => {
    shell.stdout.setEncoding('utf8').once('data', (text) => resolve(Number.parseInt(text, 10)));
    shell.once('error', (error) => reject(notStarted(name, error.message, stderr())));
    shell.once('close', (code, signal) => reject(notStarted(name, describeExit({ code, signal }), stderr())));
  });
  const gone = new Promise<Exit>((resolve) => {
    shell.once('exit', (code, signal) => resolve({ code, signal }));
  });

  const pid = await printed;
  let alive = true;
  const kill = (signal: NodeJS.Signals): void => {
    if (!alive) return;
    const unheard = UNHEARD.has(signal);
    // Once it is stopped, it has no more of them.
    if (unheard && signal !== 'SIGCONT') send('SIGSTOP', [pid]);
    send(signal, unheard ? [pid, ...childrenOf(pid)] : [pid]);
  };
  const exited = gone.then((exit) => {
    // A shell that was itself killed has left the program to us.
    if (exit.signal !== null) kill('SIGKILL');
    alive = false;
    shell.stdin.destroy();
    return programExit(exit);
  });
  const stop = async (): Promise<void> => {
    kill('SIGKILL');
    await exited;
  };
  const end = () => kill('SIGKILL');
  if (signal?.aborted) end();
  signal?.addEventListener('abort', end, { once: true });
  return { name, pid, exited, stderr, kill, stop, [Symbol.asyncDispose]: stop };
}

/**
 * A program does not hear these, so it can't hand them on to its processes: those of a PostgreSQL server that is
 * killed may wait for a log that nobody writes any more, with its memory still in use.
 */
const UNHEARD: ReadonlySet<NodeJS.Signals> = new Set(['SIGKILL', 'SIGSTOP', 'SIGCONT']);

function send(signal: NodeJS.Signals, pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It ended before we heard of it.
    }
  }
}

function childrenOf(pid: number): readonly number[] {
  const listed = () => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    } catch {
      // No Linux.
      return spawnSync('pgrep', ['-P', `${pid}`], { encoding: 'utf8' }).stdout ?? '';
    }
  };
  return listed().split(/\s+/).filter(Boolean).map(Number);
}

/** A shell reports a command that a signal ended as status 128 + signal. */
function programExit({ code, signal }: Exit): Exit {
  if (code === null || code <= 128) return { code, signal };
  const named = Object.entries(constants.signals).find(([, number]) => number === code - 128);
  return named === undefined ? { code, signal } : { code: null, signal: named[0] as NodeJS.Signals };
}
