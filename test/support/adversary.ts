import fc from 'fast-check';

/**
 * What befalls a process at one of its awaits:
 * - `crash`: it is gone, with all that it had under way;
 * - `freeze`: all of it stops, until it is woken;
 * - `stall`: this one call hangs, until it is woken; the rest goes on;
 * - `fail`: this one call throws; the rest goes on;
 * - `wake`: whoever has been asleep longest goes on, beside this one.
 * A process that crashes, sleeps or fails is followed by another, as a function's next invocation would.
 */
export type Move = 'go' | 'crash' | 'freeze' | 'stall' | 'fail' | 'wake';

/** The failure of a process that was crashed, or of a call that was made to fail. */
export class Fault extends Error {}

/** One run of the code under test, with the world seen through `watched`. */
export class Process {
  dead = false;
  frozen: Promise<void> | undefined;
  readonly #left = Promise.withResolvers<'overtaken'>();

  /** Settles when another process may begin. */
  get left(): Promise<'overtaken'> {
    return this.#left.promise;
  }

  leave(): void {
    this.#left.resolve('overtaken');
  }
}

/** Plays moves against processes, one at each await, until they run out; from then on all goes well. */
export class Adversary {
  readonly #moves: Move[];
  readonly #sleepers: (() => void)[] = [];
  readonly #runs: Promise<unknown>[] = [];
  /** Called at every await of every process, before and after the call of a method of that name. */
  onAwait: (method: string, when: 'before' | 'after') => void | Promise<void> = () => {};

  constructor(moves: readonly Move[]) {
    this.#moves = [...moves].reverse();
  }

  /** `target` as `process` sees it: something may happen before and after each of its asynchronous methods. */
  watched<T extends object>(process: Process, target: T): T {
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        return async (...parameters: unknown[]) => {
          await this.#point(process, String(name), 'before');
          const result: unknown = await member.apply(target, parameters);
          await this.#point(process, String(name), 'after');
          return result;
        };
      },
    });
  }

  /** Starts processes one after another until one of them ends by itself with a result. */
  async drive<T>(start: (process: Process) => Promise<T | undefined>): Promise<T> {
    for (;;) {
      const process = new Process();
      const run = start(process).catch((error: unknown) => {
        if (!(error instanceof Fault)) throw error;
        return undefined;
      });
      this.#runs.push(run);
      const ended = await Promise.race([run, process.left]);
      if (ended !== undefined && ended !== 'overtaken') return ended as T;
    }
  }

  /** Wakes all that sleep, and returns when every process has ended. */
  async wakeAll(): Promise<void> {
    this.#moves.length = 0;
    for (const wake of this.#sleepers.splice(0)) wake();
    await Promise.all(this.#runs);
  }

  get sleepers(): number {
    return this.#sleepers.length;
  }

  async #point(process: Process, method: string, when: 'before' | 'after'): Promise<void> {
    await process.frozen;
    if (process.dead) throw new Fault();
    await this.onAwait(method, when);
    switch (this.#moves.pop() ?? 'go') {
      case 'go':
        return;
      case 'crash':
        process.dead = true;
        throw new Fault();
      case 'fail':
        throw new Fault();
      case 'freeze':
        process.frozen = this.#sleep(process);
        await process.frozen;
        return;
      case 'stall':
        await this.#sleep(process);
        return;
      case 'wake':
        this.#sleepers.shift()?.();
        return;
    }
  }

  #sleep(process: Process): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#sleepers.push(resolve);
    process.leave();
    return promise;
  }
}

/** Moves for some fifty awaits. */
export const anyMoves: fc.Arbitrary<readonly Move[]> = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Move>('go') },
    { weight: 3, arbitrary: fc.constantFrom<Move>('crash', 'freeze', 'stall', 'fail', 'wake') },
  ),
  { maxLength: 50 },
);
