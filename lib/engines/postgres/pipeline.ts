import type pg from 'pg';
import type { Wire } from '#lib/engines/postgres/wire.ts';

/** A statement that is prepared once a session. `types`: OIDs of its parameters, or none to let the server find out. */
export type Statement = { readonly text: string; readonly types: readonly number[] };
/** Bytes are a value's binary form, text its text form. */
export type Parameter = Uint8Array | string | null;

const NO_VALUES: readonly Parameter[] = [];

/** Statements prepared on one connection, by text. */
export class Prepared {
  readonly #names = new Map<string, string>();
  #last = 0;

  nameOf(text: string): { readonly name: string; readonly isNew: boolean } {
    const known = this.#names.get(text);
    if (known !== undefined) return { name: known, isNew: false };
    const name = `u${++this.#last}`;
    this.#names.set(text, name);
    return { name, isNew: true };
  }

  /** After an error nobody knows which of the newest are there; their names are not used again. */
  forget(): void {
    this.#names.clear();
  }
}

/** Statements that go to the server together and are answered together: one round trip, stopped by the first error. */
export class Pipeline {
  readonly #prepared: Prepared;
  readonly #steps: { readonly statement: Statement; readonly values: readonly Parameter[] }[] = [];
  readonly #counts: number[] = [];
  #settle: { resolve(counts: readonly number[]): void; reject(error: unknown): void } | undefined;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
  }

  get length(): number {
    return this.#steps.length;
  }

  /** Statements that are done: where there was an error, the place of the one that failed. */
  get completed(): number {
    return this.#counts.length;
  }

  /** Returns the statement's place among the counts. */
  add(statement: Statement, values: readonly Parameter[] = NO_VALUES): number {
    return this.#steps.push({ statement, values }) - 1;
  }

  /** Rows that each statement has affected, in order. Rejects with the first statement's error. */
  run(client: pg.Client): Promise<readonly number[]> {
    if (this.#steps.length === 0) return Promise.resolve([]);
    const { promise, resolve, reject } = Promise.withResolvers<readonly number[]>();
    this.#settle = { resolve, reject };
    client.query(this as unknown as pg.Submittable);
    return promise;
  }

  submit(connection: Wire): void {
    connection.stream.cork();
    for (const { statement, values } of this.#steps) {
      const { name, isNew } = this.#prepared.nameOf(statement.text);
      if (isNew) connection.parse({ name, ...statement });
      connection.bind({ statement: name, values });
      connection.execute({});
    }
    connection.sync();
    connection.stream.uncork();
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#counts.push(Number(text.slice(text.lastIndexOf(' ') + 1)) || 0);
  }

  handleReadyForQuery(): void {
    this.#settle?.resolve(this.#counts);
  }

  handleError(error: unknown): void {
    this.#prepared.forget();
    this.#settle?.reject(error);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}
