import type pg from 'pg';
import { forEachCopyData, tapCopyData, type Wire, wireOf } from '#lib/engines/postgres/wire.ts';

/** Signature, flags and length of the extension: what a binary COPY begins with. */
const HEADER_BYTES = 19;

/** The answer of a command that copies out, as a thing that a client of `pg` can be given. */
class CopyOut {
  readonly #text: string;
  readonly #onFrames: (frames: Buffer) => void;
  readonly #done: (error?: unknown) => void;
  #untap = () => {};

  constructor(text: string, onFrames: (frames: Buffer) => void, done: (error?: unknown) => void) {
    this.#text = text;
    this.#onFrames = onFrames;
    this.#done = done;
  }

  submit(connection: Wire): void {
    this.#untap = tapCopyData(connection, this.#onFrames);
    connection.query(this.#text);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}

  handleReadyForQuery(): void {
    this.#untap();
    this.#done();
  }

  handleError(error: unknown): void {
    this.#untap();
    this.#done(error);
  }
}

/**
 * Runs a command that copies out and hands over what comes, as runs of whole CopyData messages (see `tapCopyData`), whose
 * bytes stay as they are. Resolves at the end, rejects with the server's error. An error that the receiver throws breaks the
 * connection off.
 */
export function copyOut(
  client: pg.Client,
  command: string,
  onFrames: (frames: Buffer) => void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const take = (frames: Buffer) => {
    try {
      onFrames(frames);
    } catch (error) {
      reject(error);
      wireOf(client).stream.destroy();
    }
  };
  const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
  client.query(new CopyOut(command, take, done) as unknown as pg.Submittable);
  return promise;
}

/** Runs COPY ... TO STDOUT (FORMAT binary) of one column of bytes and hands over each value; its bytes stay as they are. */
export function copyOutBytes(
  client: pg.Client,
  select: string,
  onValue: (value: Buffer) => void,
): Promise<void> {
  let first = true;
  return copyOut(client, `COPY (${select}) TO STDOUT (FORMAT binary)`, (frames) => {
    forEachCopyData(frames, (bytes, start, end) => {
      const at = start + (first ? HEADER_BYTES : 0);
      first = false;
      // A row is the number of its columns, then each with its length; -1 stands for the end.
      if (end - at >= 6 && bytes.readInt16BE(at) === 1) onValue(bytes.subarray(at + 6, end));
    });
  });
}
