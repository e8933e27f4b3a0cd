import type pg from 'pg';

/** What of a connection of `pg` is used here; it has no types of its own. */
export type Wire = {
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(why: string): void;
  parse(statement: { name: string; text: string; types: readonly number[] }): void;
  bind(portal: { statement: string; values: readonly (Uint8Array | string | null)[] }): void;
  execute(portal: Record<string, never>): void;
  sync(): void;
  readonly stream: {
    pause(): void;
    resume(): void;
    cork(): void;
    uncork(): void;
    destroy(): void;
    once(event: 'drain' | 'close', then: () => void): void;
    readonly writableNeedDrain: boolean;
    readonly destroyed: boolean;
  };
};

export function wireOf(client: pg.Client): Wire {
  return (client as unknown as { connection: Wire }).connection;
}

/** The server's process that serves a connection. */
export function processOf(client: pg.Client): number {
  return (client as unknown as { processID: number }).processID;
}

/** Signature, flags and length of the extension: what a binary COPY begins with. */
const HEADER_BYTES = 19;

/** The answer of a command that copies out, chunk by chunk, as a thing that a client of `pg` can be given. */
class CopyOut {
  readonly #text: string;
  readonly #onChunk: (chunk: Buffer) => void;
  readonly #done: (error?: unknown) => void;

  constructor(text: string, onChunk: (chunk: Buffer) => void, done: (error?: unknown) => void) {
    this.#text = text;
    this.#onChunk = onChunk;
    this.#done = done;
  }

  submit(connection: Wire): void {
    connection.query(this.#text);
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#onChunk(chunk);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}

  handleReadyForQuery(): void {
    this.#done();
  }

  handleError(error: unknown): void {
    this.#done(error);
  }
}

/**
 * Runs a command that copies out and hands over each chunk, which is valid during the call only. Resolves at the end,
 * rejects with the server's error. An error that the receiver throws breaks the connection off.
 */
export function copyOut(client: pg.Client, command: string, onChunk: (chunk: Buffer) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const take = (chunk: Buffer) => {
    try {
      onChunk(chunk);
    } catch (error) {
      reject(error);
      wireOf(client).stream.destroy();
    }
  };
  const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
  client.query(new CopyOut(command, take, done) as unknown as pg.Submittable);
  return promise;
}

/** Runs COPY ... TO STDOUT (FORMAT binary) of one column of bytes and hands over each value. */
export function copyOutBytes(
  client: pg.Client,
  select: string,
  onValue: (value: Buffer) => void,
): Promise<void> {
  let first = true;
  return copyOut(client, `COPY (${select}) TO STDOUT (FORMAT binary)`, (chunk) => {
    const start = first ? HEADER_BYTES : 0;
    first = false;
    // A row is the number of its columns, then each with its length; -1 stands for the end.
    if (chunk.length - start >= 6 && chunk.readInt16BE(start) === 1) onValue(chunk.subarray(start + 6));
  });
}
