import { type CapturedChange, parseWal, walText } from '#lib/engines/postgres/captured-change.ts';
import { ChangeCollector } from '#lib/engines/postgres/change-collector.ts';
import type { Connect } from '#lib/engines/postgres/connect.ts';
import { copyOutBytes } from '#lib/engines/postgres/copy-out.ts';
import { onPublicationSkipped } from '#lib/engines/postgres/publication.ts';
import { literal } from '#lib/engines/postgres/quote.ts';
import { openToRead, readOnAsText, type SlotDeps, TextNeeded } from '#lib/engines/postgres/slot-reading.ts';
import {
  optionList,
  pgoutputOptions,
  readerName,
  slotFailure,
  slotShard,
  slotStatus,
} from '#lib/engines/postgres/slot-session.ts';
import { processOf, wireOf } from '#lib/engines/postgres/wire.ts';
import type { ChangeSource, SourceBatch } from '#lib/ports/change-source.ts';

/** Changes of one look at the slot, at least a transaction; and bytes of one batch. */
const LOOK_CHANGES = 200_000;
export const BATCH_BYTES = 4 << 20;

/**
 * A replication slot that is looked at by SQL: each call reads what there is and leaves. The server keeps a
 * transaction that has not ended, and what of a large one is on its way, on its own disk.
 */
export class PolledSlot implements ChangeSource<CapturedChange> {
  readonly shard: string;
  readonly #deps: SlotDeps;
  #confirmed: bigint | undefined;

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
    const client = await connect({ applicationName: readerName(epoch) });
    this.#confirmed = undefined;
    try {
      const read = await openToRead(client, this.#deps, former);
      let skipped: unknown;
      onPublicationSkipped(client, publication, (error) => {
        skipped = error;
      });
      const options = optionList(pgoutputOptions(this.#deps, read.binary));
      for (let found = true; found && !signal.aborted; ) {
        found = false;
        // What has been flushed by now is looked at in full below: if there is nothing in it, it may go.
        const { rows } = await client.query<{ end: string }>('SELECT pg_current_wal_flush_lsn() AS end');
        const collector = new ChangeCollector(read.check);
        const look = new Look(wireOf(client).stream, collector);
        const select = `SELECT data FROM pg_logical_slot_peek_binary_changes(${literal(slot)}, NULL, ${LOOK_CHANGES}, ${options})`;
        const take = (message: Uint8Array) => {
          if (skipped !== undefined) throw skipped;
          look.push(message);
        };
        const copied = copyOutBytes(client, select, take).then(
          () => look.end(),
          (error) => look.end(error),
        );
        try {
          for (let batch = await look.next(); batch !== undefined; batch = await look.next()) {
            found = true;
            yield {
              records: batch.records,
              position: batch.end === undefined ? undefined : walText(batch.end),
            };
            if (signal.aborted) break;
          }
        } finally {
          look.drain();
          await copied;
        }
        if (skipped !== undefined) throw skipped;
        if (!found) this.#confirmed = parseWal(rows[0]!.end);
        if (this.#confirmed !== undefined) await this.#advance(client, this.#confirmed);
        this.#confirmed = undefined;
      }
      return undefined;
    } catch (error) {
      if (error instanceof TextNeeded) return processOf(client);
      throw slotFailure(error, this.#deps);
    } finally {
      await client.end();
    }
  }

  /** Takes effect once the look is over: the server lets nobody move a slot while it is read. */
  async confirm(position: string): Promise<void> {
    this.#confirmed = parseWal(position);
  }

  async #advance(client: Awaited<ReturnType<Connect>>, to: bigint): Promise<void> {
    const { confirmed } = await slotStatus(client, this.#deps.slot);
    if (to > confirmed) {
      await client.query('SELECT pg_replication_slot_advance($1, $2)', [this.#deps.slot, walText(to)]);
    }
  }
}

/** Between a socket that delivers and a reader that takes its time: the socket waits when a batch is full. */
class Look {
  readonly #socket: { pause(): void; resume(): void };
  readonly #collector: ChangeCollector;
  #wake: (() => void) | undefined;
  #ended = false;
  #drained = false;
  #error: unknown;

  constructor(socket: { pause(): void; resume(): void }, collector: ChangeCollector) {
    this.#socket = socket;
    this.#collector = collector;
  }

  push(message: Uint8Array): void {
    if (this.#drained) return;
    this.#collector.push(message);
    if (this.#collector.bytes < BATCH_BYTES) return;
    this.#socket.pause();
    this.#wake?.();
  }

  end(error?: unknown): void {
    this.#ended = true;
    this.#error = error;
    this.#wake?.();
  }

  /** The next batch, full or the last; undefined at the end. */
  async next() {
    while (!this.#ended && this.#collector.bytes < BATCH_BYTES) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      this.#socket.resume();
      await promise;
    }
    if (this.#error !== undefined) throw this.#error;
    return this.#collector.take();
  }

  /** Nobody takes any more: what is still on its way is let go. */
  drain(): void {
    this.#drained = true;
    this.#socket.resume();
  }
}
