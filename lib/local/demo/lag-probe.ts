import { setTimeout as sleep } from 'node:timers/promises';
import { WRITTEN_AT } from '#lib/local/demo/workload.ts';
import type { StreamReader } from '#lib/local/event-source/stream-reader.ts';
import { TRIM_HORIZON } from '#lib/local/event-source/stream-reader.ts';

const POLL_MS = 40;
const BATCH = 1000;

/**
 * Watches a follower's table through its stream and measures, for each write that bears its time, how long it
 * took to get there, ms. One clock measures both ends, because all Regions are on one machine.
 */
export class LagProbe {
  readonly #reader: StreamReader;
  readonly #samples: number[] = [];
  #recent: number[] = [];
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(reader: StreamReader) {
    this.#reader = reader;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  /** All samples so far. */
  get samples(): readonly number[] {
    return this.#samples;
  }

  /** The median of the samples since the last call; undefined if there were none. */
  takeRecent(): number | undefined {
    const recent = this.#recent;
    this.#recent = [];
    return quantile(recent, 0.5);
  }

  async #run(): Promise<void> {
    let after = TRIM_HORIZON;
    let shard: string | undefined;
    while (!this.#stopped) {
      try {
        shard ??= (await this.#reader.listShards())[0]?.id;
        if (shard !== undefined) {
          const { records } = await this.#reader.read(shard, after, BATCH);
          const nowMs = Date.now();
          for (const { dynamodb } of records) {
            const at = dynamodb.NewImage?.[WRITTEN_AT]?.N;
            // The mark that goes before an applied delete leaves the time of the item's last write as it was.
            const isWrite = at !== dynamodb.OldImage?.[WRITTEN_AT]?.N;
            if (at !== undefined && isWrite) this.#take(nowMs - Number(at));
          }
          after = records.at(-1)?.dynamodb.SequenceNumber ?? after;
        }
      } catch {
        // The server is being restarted: what it holds is still there afterwards.
      }
      await sleep(POLL_MS);
    }
  }

  #take(ms: number): void {
    this.#samples.push(ms);
    this.#recent.push(ms);
  }
}

/** The value below which a share of `values` lies; undefined for none. */
export function quantile(values: readonly number[], share: number): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}
