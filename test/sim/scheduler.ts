type Task = { readonly at: number; readonly order: number; readonly run: () => void };

/** How many events run before the process may look at its messages. */
const SLICE = 8_192;
const settled = Promise.resolve();

/** Virtual time, ms: a heap of events, each run to the end of all that it resolves before the next begins. */
export class Scheduler {
  #now = 0;
  #order = 0;
  #events = 0;
  readonly #heap: Task[] = [];

  get now(): number {
    return this.#now;
  }

  /** Events run so far. */
  get events(): number {
    return this.#events;
  }

  after(ms: number, run: () => void): void {
    this.#push({ at: this.#now + Math.max(0, ms), order: this.#order++, run });
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** Runs until `goesOn`, asked after every event, says no, or nothing is left to do. */
  run(goesOn: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const step = () => {
        try {
          if (!goesOn()) return resolve();
          const task = this.#pop();
          if (task === undefined) return resolve();
          this.#now = task.at;
          this.#events += 1;
          task.run();
        } catch (error) {
          return reject(error);
        }
        // A tick that is asked for by a microtask comes after all microtasks: what the event resolved has run by then.
        if (this.#events % SLICE === 0) setImmediate(step);
        else settled.then(turn);
      };
      const turn = () => process.nextTick(step);
      step();
    });
  }

  #push(task: Task): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(task);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Task;
      if (!isBefore(task, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = task;
  }

  #pop(): Task | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Task, heap[child] as Task)) child += 1;
      if (!isBefore(heap[child] as Task, last)) break;
      heap[at] = heap[child] as Task;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Task, b: Task): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
