import type pg from 'pg';
import type { Wire } from '#lib/engines/postgres/wire.ts';

/** Bytes of one message to the server. */
const CHUNK_BYTES = 256 << 10;

/** A command that copies in, as a thing that a client of `pg` can be given. */
class CopyIn {
  readonly #text: string;
  readonly #data: Buffer;
  readonly #settle: { resolve(rows: number): void; reject(error: unknown): void };
  #rows = 0;

  constructor(
    text: string,
    data: Buffer,
    settle: { resolve(rows: number): void; reject(error: unknown): void },
  ) {
    this.#text = text;
    this.#data = data;
    this.#settle = settle;
  }

  submit(connection: Wire): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: Wire): void {
    for (let at = 0; at < this.#data.length; at += CHUNK_BYTES) {
      connection.sendCopyFromChunk(this.#data.subarray(at, at + CHUNK_BYTES));
    }
    connection.endCopyFrom();
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#rows = Number(text.slice(text.lastIndexOf(' ') + 1));
  }

  handleReadyForQuery(): void {
    this.#settle.resolve(this.#rows);
  }

  handleError(error: unknown): void {
    this.#settle.reject(error);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
}

/** Runs a COPY ... FROM STDIN with all of its data; returns the number of rows. */
export function copyIn(client: pg.Client, command: string, data: Buffer): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  client.query(new CopyIn(command, data, { resolve, reject }) as unknown as pg.Submittable);
  return promise;
}
