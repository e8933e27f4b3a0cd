import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Answer, Asked, WorkerTask } from './protocol.ts';

const PROGRAM = fileURLToPath(new URL('worker.ts', import.meta.url));

/** A worker process that is started again when it is killed. */
export class SoakWorker {
  readonly #task: WorkerTask;
  readonly #answer: (method: string, args: readonly unknown[]) => Promise<unknown>;
  readonly #answering = new Set<Promise<unknown>>();
  #child: ChildProcess;

  constructor(task: WorkerTask, answer: (method: string, args: readonly unknown[]) => Promise<unknown>) {
    this.#task = task;
    this.#answer = answer;
    this.#child = this.#start(task.streams);
  }

  /** It has ended, though nobody stopped it. */
  get isDead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** The most memory that the process has had in use since it began, bytes. */
  async peakBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.#child.pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) * 1024;
  }

  /**
   * The next one begins when all that this one had asked for is done: an operator whom it told what to run runs it.
   *
   * @param streams how the next one captures.
   */
  async crash(streams: boolean): Promise<void> {
    await this.stop();
    await Promise.all(this.#answering);
    this.#child = this.#start(streams);
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  #start(streams: boolean): ChildProcess {
    const task = JSON.stringify({ ...this.#task, streams });
    const { heapMiB } = this.#task;
    const child = fork(PROGRAM, [task], {
      ...(heapMiB !== undefined && { execArgv: [`--max-old-space-size=${heapMiB}`] }),
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const reply = (answer: Answer) => {
      if (child.connected) child.send(answer, () => {});
    };
    child.on('message', ({ id, method, args }: Asked) => {
      const answering = this.#answer(method, args).then(
        (value) => reply({ id, value }),
        (error) => reply({ id, error: String(error) }),
      );
      this.#answering.add(answering);
      answering.finally(() => this.#answering.delete(answering));
    });
    return child;
  }
}
