import type { KeptConnection } from './kept-connection.ts';

/** What a worker has met: its role, the error's code and text, and what it says to do next. */
export type Failure = readonly [role: string, code: string, text: string, next: string];

/** Codes that a kill or a change of schema may bring about, and SQLSTATEs likewise; all others are defects. */
const PASSING: ReadonlySet<string> = new Set(['POSTGRES_UNREACHABLE', 'SLOT_BUSY', 'SCHEMA_DIFFERS']);
const PASSING_STATE = /\((57P0\d|08\w{3}|55006|XX000|42P01)\)/;

/** Does at the follower as an error says, if it leaves nothing open; knows what should not have happened. */
export class Operator {
  readonly #follower: KeptConnection;
  #turn: Promise<unknown> = Promise.resolve();
  #told = 0;
  #defect: string | undefined;
  #last = '';
  #ran = '';

  constructor(follower: KeptConnection) {
    this.#follower = follower;
  }

  /** Statements that were run. */
  get told(): number {
    return this.#told;
  }

  /** The first thing that no kill explains. */
  get defect(): string | undefined {
    return this.#defect;
  }

  /** What was run last. */
  get ran(): string {
    return this.#ran;
  }

  /** What failed last, for a round that does not end. */
  get last(): string {
    return this.#last;
  }

  found(defect: string): void {
    this.#defect ??= defect;
  }

  async hear([role, code, text, next]: Failure): Promise<void> {
    this.#last = `${role}: ${text}`;
    if (!PASSING.has(code) && !PASSING_STATE.test(text)) this.found(this.#last);
    if (code !== 'SCHEMA_DIFFERS') return;
    const told = next.replace(/^Run here[^:]*: /, '').replace("; in the leader's order.", ';');
    // What follows the statements are ways between which a person would have to choose.
    if (/;\s+[A-Z](?!LTER|REATE|ROP )/.test(told)) return;
    this.#turn = this.#turn.then(() => this.#run(told));
    await this.#turn;
  }

  async #run(told: string): Promise<void> {
    try {
      await this.#follower.with((client) => client.query(told));
      this.#told += 1;
      this.#ran = told;
    } catch (error) {
      this.#last += `; and then: ${String(error)}`;
    }
  }
}
