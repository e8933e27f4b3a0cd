import type pg from 'pg';
import { type CapturedChange, parseWal, walText } from '#lib/engines/postgres/captured-change.ts';
import { ChangeCollector } from '#lib/engines/postgres/change-collector.ts';
import { BATCH_BYTES } from '#lib/engines/postgres/polled-slot.ts';
import { onPublicationSkipped } from '#lib/engines/postgres/publication.ts';
import { literal, quote } from '#lib/engines/postgres/quote.ts';
import { openToRead, readOnAsText, type SlotDeps, TextNeeded } from '#lib/engines/postgres/slot-reading.ts';
import { pgoutputOptions, readerName, slotFailure, slotShard } from '#lib/engines/postgres/slot-session.ts';
import { forEachCopyData, processOf, tapCopyData, type Wire, wireOf } from '#lib/engines/postgres/wire.ts';
import type { ChangeSource, SourceBatch } from '#lib/ports/change-source.ts';

/** How often the server hears of us at least; it gives up on a reader after 60 s by default. */
const FEEDBACK_MS = 5_000;

/**
 * A replication slot that is read for as long as the process lives, by the replication protocol: changes come as they
 * commit. The server is told to forget only what was confirmed.
 */
export class StreamedSlot implements ChangeSource<CapturedChange> {
  readonly shard: string;
  readonly #deps: SlotDeps;
  #stream: WalStream | undefined;

  constructor(deps: SlotDeps) {
    this.#deps = deps;
    this.shard = slotShard(deps.region, deps);
  }

  batches(signal: AbortSignal): AsyncIterable<SourceBatch<CapturedChange>> {
    return readOnAsText((former) => this.#read(signal, former));
  }

  async *#read(
    signal: AbortSignal,
    former: number | undefined,
  ): AsyncGenerator<SourceBatch<CapturedChange>, number | undefined> {
    const { slot, publication, epoch, connect } = this.#deps;
    const plain = await connect({ applicationName: readerName(epoch) });
    let read: Awaited<ReturnType<typeof openToRead>>;
    try {
      read = await openToRead(plain, this.#deps, former);
    } catch (error) {
      throw slotFailure(error, this.#deps);
    } finally {
      await plain.end();
    }
    const options = Object.entries(pgoutputOptions(this.#deps, read.binary));
    const list = options.map(([name, value]) => `${quote(name)} ${literal(value)}`).join(', ');
    const client = await connect({ replication: true, applicationName: readerName(epoch) });
    const stream = new WalStream(client, new ChangeCollector(read.check));
    this.#stream = stream;
    onPublicationSkipped(client, publication, (error) => stream.fail(error));
    const stop = () => stream.end();
    signal.addEventListener('abort', stop, { once: true });
    try {
      stream.start(`START_REPLICATION SLOT ${quote(slot)} LOGICAL 0/0 (${list})`);
      while (!signal.aborted) {
        const batch = await stream.next();
        if (batch === undefined) break;
        yield { records: batch.records, position: batch.end === undefined ? undefined : walText(batch.end) };
      }
    } catch (error) {
      if (error instanceof TextNeeded) return processOf(client);
      throw slotFailure(error, this.#deps);
    } finally {
      signal.removeEventListener('abort', stop);
      await stream.close();
    }
    return undefined;
  }

  async confirm(position: string): Promise<void> {
    this.#stream?.confirm(parseWal(position));
  }
}

const XLOG_DATA = 0x77;
const KEEPALIVE = 0x6b;
const DATA_HEADER_BYTES = 25;
/** A transaction below this comes whole, bytes: the server sends it once it has committed, so its end is right behind. */
const WHOLE_BYTES = 256 << 10;

/** The walsender's side of the conversation, as a thing that a client of `pg` can be given. */
class WalStream {
  readonly #client: pg.Client;
  readonly #collector: ChangeCollector;
  readonly #timer: NodeJS.Timeout;
  #command = '';
  #wake: (() => void) | undefined;
  #ended = false;
  #started = false;
  #error: unknown;
  #confirmed = 0n;
  /** End of WAL that holds nothing which is not in the collector. */
  #seen = 0n;
  /** Changes are out with the reader, not confirmed. */
  #owed = false;

  constructor(client: pg.Client, collector: ChangeCollector) {
    this.#client = client;
    this.#collector = collector;
    this.#timer = setInterval(() => this.#feedback(), FEEDBACK_MS);
    client.once('end', () => this.fail(new Error('the connection has ended')));
  }

  start(command: string): void {
    this.#command = command;
    this.#client.query(this as unknown as pg.Submittable);
  }

  submit(connection: Wire): void {
    tapCopyData(connection, (frames) => this.#takeFrames(frames));
    connection.query(this.#command);
    this.#started = true;
  }

  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}

  handleReadyForQuery(): void {
    this.fail(new Error('the server has ended the stream'));
  }

  handleError(error: unknown): void {
    this.fail(error);
  }

  #takeFrames(frames: Buffer): void {
    if (this.#ended) return;
    try {
      forEachCopyData(frames, (bytes, start, end) => this.#take(bytes, start, end));
    } catch (error) {
      this.fail(error);
    }
    if (this.#collector.bytes >= BATCH_BYTES) wireOf(this.#client).stream.pause();
    this.#wake?.();
  }

  #take(bytes: Buffer, start: number, end: number): void {
    if (bytes[start] === XLOG_DATA) {
      this.#collector.push(bytes.subarray(start + DATA_HEADER_BYTES, end));
      this.#owed = true;
    } else if (bytes[start] === KEEPALIVE) {
      this.#seen = bytes.readBigUInt64BE(start + 1);
      if (bytes[start + 17] === 1 || !this.#owed) this.#feedback();
    }
  }

  /** What has arrived since the last call, as soon as there is something, small transactions whole; undefined once ended. */
  async next() {
    for (;;) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      const isCut = this.#collector.isInTransaction && this.#collector.bytes < WHOLE_BYTES;
      const batch = isCut ? undefined : this.#collector.take();
      if (this.#collector.bytes < BATCH_BYTES) wireOf(this.#client).stream.resume();
      if (batch !== undefined) return batch;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      await promise;
    }
  }

  confirm(position: bigint): void {
    if (position > this.#confirmed) this.#confirmed = position;
    this.#owed = this.#collector.bytes > 0 || this.#collector.isInTransaction;
    this.#feedback();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#ended = true;
    if (this.#started) wireOf(this.#client).stream.destroy();
    else await this.#client.end();
  }

  fail(error: unknown): void {
    this.#error ??= error;
    this.end();
  }

  /** Tells the server how far it may forget: never beyond what was confirmed while something is not. */
  #feedback(): void {
    if (!this.#started || this.#ended) return;
    if (!this.#owed && this.#seen > this.#confirmed) this.#confirmed = this.#seen;
    const status = Buffer.alloc(34);
    status[0] = 0x72;
    status.writeBigUInt64BE(this.#confirmed, 1);
    status.writeBigUInt64BE(this.#confirmed, 9);
    status.writeBigUInt64BE(this.#confirmed, 17);
    wireOf(this.#client).sendCopyFromChunk(status);
  }
}
