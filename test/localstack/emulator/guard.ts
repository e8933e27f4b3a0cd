import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Kills the process groups that it is told of, stopped ones too, and removes a folder: once its standard input closes,
 * which is when this process ends, however it ends.
 */
const SCRIPT = `
trap '' INT TERM HUP
groups=
while read -r group; do groups="$groups $group"; done
for group in $groups; do kill -s KILL -- "-$group"; done
for group in $groups; do while kill -s 0 -- "-$group"; do sleep 0.02; done; done
rm -rf "$1"
`;

/** Starts programs that cannot outlive this process, nor can what they start in turn. */
export class Guard implements AsyncDisposable {
  readonly #shell: ChildProcess;
  readonly #gone: Promise<unknown>;
  #ended = false;

  /** @param folder what the programs may write to; removed with them. */
  constructor(folder: string) {
    this.#shell = spawn('sh', ['-c', SCRIPT, 'sh', folder], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.#gone = once(this.#shell, 'exit');
  }

  /** Starts a program as the leader of a process group of its own. Ctrl-C does not reach it. */
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    if (this.#ended) throw new Error(`${command} is not started: the run has ended`);
    const child = spawn(command, [...args], { ...options, detached: true });
    if (child.pid !== undefined) this.#shell.stdin!.write(`${child.pid}\n`);
    return child;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#shell.stdin!.end();
    await this.#gone;
  }
}

/** Sends a signal to a process and to all that it has started. */
export function signalGroup(leader: ChildProcess, signal: NodeJS.Signals): void {
  process.kill(-leader.pid!, signal);
}
