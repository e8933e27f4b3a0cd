import type pg from 'pg';
import { copyOut } from '#lib/engines/postgres/copy-out.ts';
import { type Wire, wireOf } from '#lib/engines/postgres/wire.ts';

/** A COPY ... FROM STDIN that is fed while it runs. */
class CopyFeed {
  readonly #text: string;
  readonly started = Promise.withResolvers<void>();
  readonly done = Promise.withResolvers<number>();
  #rows = 0;

  constructor(text: string) {
    this.#text = text;
    // Whoever waits for the one hears of an error; the other must not go unheard.
    this.started.promise.catch(() => {});
    this.done.promise.catch(() => {});
  }

  submit(connection: Wire): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(): void {
    this.started.resolve();
  }

  handleCommandComplete({ text }: { text: string }): void {
    this.#rows = Number(text.slice(text.lastIndexOf(' ') + 1));
  }

  handleReadyForQuery(): void {
    this.done.resolve(this.#rows);
  }

  handleError(error: unknown): void {
    this.started.reject(error);
    this.done.reject(error);
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
}

/**
 * Copies what `select` finds in one database into another's table, as fast as the slower of the two, with no more in memory
 * than sockets hold; returns the number of rows. `format`: the same for both, `binary` or `text`.
 */
export async function copyAcross(
  from: pg.Client,
  select: string,
  to: pg.Client,
  into: string,
  format: 'binary' | 'text',
): Promise<number> {
  const feed = new CopyFeed(`COPY ${into} FROM STDIN (FORMAT ${format})`);
  to.query(feed as unknown as pg.Submittable);
  await feed.started.promise;
  const source = wireOf(from).stream;
  const sink = wireOf(to);
  try {
    await copyOut(from, `COPY (${select}) TO STDOUT (FORMAT ${format})`, (frames) => {
      // What comes out is what goes in, message by message.
      sink.stream.write(frames);
      if (!sink.stream.writableNeedDrain) return;
      source.pause();
      sink.stream.once('drain', () => source.resume());
    });
  } catch (error) {
    sink.sendCopyFail('the source failed');
    await feed.done.promise.catch(() => {});
    throw error;
  }
  sink.endCopyFrom();
  return feed.done.promise;
}
