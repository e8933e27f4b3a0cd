import type { Scheduler } from '#lib/local/delay-line.ts';

/** Time that stands still until a test moves it. */
export class ManualScheduler implements Scheduler {
  #now = 0;
  readonly #tasks = new Set<{ readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const task = { at: this.#now + ms, run };
    this.#tasks.add(task);
    return () => this.#tasks.delete(task);
  }

  /** When the next task is due. */
  get nextAt(): number | undefined {
    return this.#next()?.at;
  }

  /** Moves time and runs what falls due on the way, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (let task = this.#next(); task !== undefined && task.at <= end; task = this.#next()) {
      this.#now = task.at;
      this.#tasks.delete(task);
      task.run();
    }
    this.#now = end;
  }

  #next() {
    return [...this.#tasks].sort((a, b) => a.at - b.at)[0];
  }
}
