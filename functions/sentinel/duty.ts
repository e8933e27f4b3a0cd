/** Something that is done beside the looks: one at a time, and again no sooner than `everyMs` after it was begun. */
export class Duty {
  readonly #everyMs: number;
  readonly #steadyMs: () => number;
  readonly #work: () => Promise<unknown>;
  readonly #onError: (error: unknown) => void;
  #dueMs = Number.NEGATIVE_INFINITY;
  #done: Promise<unknown> | undefined;

  constructor(given: {
    readonly everyMs: number;
    readonly steadyMs: () => number;
    readonly work: () => Promise<unknown>;
    readonly onError: (error: unknown) => void;
  }) {
    this.#everyMs = given.everyMs;
    this.#steadyMs = given.steadyMs;
    this.#work = given.work;
    this.#onError = given.onError;
  }

  /** Settles once what was begun is done; at once if nothing is under way. */
  get done(): Promise<unknown> {
    return this.#done ?? Promise.resolve();
  }

  /** Begins it if it is due. */
  attend(): void {
    if (this.#done !== undefined || this.#steadyMs() < this.#dueMs) return;
    this.#dueMs = this.#steadyMs() + this.#everyMs;
    this.#done = this.#work()
      .catch(this.#onError)
      .finally(() => {
        this.#done = undefined;
      });
  }
}
