import type { Batch, MappingPolicy } from '#lib/local/event-source/batch.ts';
import type { BatchOutcome } from '#lib/local/event-source/batch-outcome.ts';
import type { Checkpoint, CheckpointStore, Checkpoints } from '#lib/local/event-source/checkpoint-store.ts';
import type { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import { ShardWorker, type ShardWorkerDeps } from '#lib/local/event-source/shard-worker.ts';
import { planShards } from '#lib/local/event-source/shards.ts';
import type { FailureInfo, StreamEvent } from '#lib/local/event-source/stream-event.ts';
import { type DataLoss, type StreamReader, TRIM_HORIZON } from '#lib/local/event-source/stream-reader.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { Bell, backoffMs, type Timer, within } from '#lib/local/event-source/timer.ts';

export type EventSourceMappingOptions = Partial<MappingPolicy> & {
  /** Names the mapping in the checkpoint store. */
  readonly name: string;
  readonly streamArn: string;
  readonly reader: StreamReader;
  readonly invoker: FunctionInvoker<StreamEvent>;
  readonly checkpoints: CheckpointStore;
  readonly timer: Timer;
  /** From 0 to 1. */
  readonly random: () => number;
  /** A shard vanished before it was read to its end. */
  readonly onDataLoss: (loss: DataLoss) => void;
  /** The on-failure destination. While it rejects, the shard does not move on. */
  readonly onFailure?: (info: FailureInfo) => Promise<void>;
  /** Says which records the function wants; the others are passed over. */
  readonly filter?: (record: StreamRecord) => boolean;
  /** For a log. All errors are retried or given up as the settings say. */
  readonly onError?: (where: 'function' | 'source', error: unknown) => void;
};

export type MappingStats = {
  /** Invocations, and those of them that failed in whole or in part. */
  readonly batches: number;
  readonly errors: number;
  /** Records that the function has taken, and those that went to the failure destination. */
  readonly records: number;
  readonly givenUp: number;
  /** Failed calls to the stream, the checkpoint store and the failure destination. */
  readonly sourceErrors: number;
  /** The sequence number that was saved last, of any shard. */
  readonly lastSequence: string | undefined;
};

const DEFAULTS: MappingPolicy = {
  batchSize: 100,
  batchWindowMs: 0,
  maxBatchBytes: 6 * 1024 * 1024,
  maximumRetryAttempts: -1,
  maximumRecordAgeSeconds: -1,
  bisectBatchOnFunctionError: false,
  reportBatchItemFailures: false,
  tumblingWindowSeconds: 0,
  pollIntervalMs: 40,
};

/** Without a cause to look sooner, shards are listed this often. */
const LIST_INTERVAL_MS = 10_000;
const STOP_BOUND_MS = 5000;

/**
 * Feeds a function from a DynamoDB stream the way Lambda's event source mapping does, starting at the trim
 * horizon: shards side by side, each in order with one invocation at a time, a child after its parent, every
 * record at least once. All shards' checkpoints are saved together.
 */
export class EventSourceMapping {
  readonly #options: EventSourceMappingOptions;
  readonly #deps: ShardWorkerDeps;
  readonly #workers = new Map<string, { worker: ShardWorker; ended: Promise<void> }>();
  readonly #lost = new Set<string>();
  readonly #listBell: Bell;
  #checkpoints: Checkpoints | undefined;
  #running: Promise<void> | undefined;
  #stopping = false;
  #abandoned = false;
  #listDelayMs = 0;
  #stats: MappingStats = {
    batches: 0,
    errors: 0,
    records: 0,
    givenUp: 0,
    sourceErrors: 0,
    lastSequence: undefined,
  };

  constructor(options: EventSourceMappingOptions) {
    this.#options = options;
    this.#listBell = new Bell(options.timer);
    const { streamArn, reader, invoker, timer, random } = options;
    this.#deps = {
      streamArn,
      reader,
      invoker,
      timer,
      random,
      policy: { ...DEFAULTS, ...options },
      filter: options.filter ?? (() => true),
      onFailure: options.onFailure ?? (async () => {}),
      save: (shardId, checkpoint) => this.#save(shardId, checkpoint),
      observer: {
        invoked: (batch, outcome) => this.#countInvocation(batch, outcome),
        gaveUp: (batch) => this.#count({ givenUp: batch.records.length }),
        failed: (where, error) => this.#failed(where, error),
      },
    };
  }

  stats(): MappingStats {
    return this.#stats;
  }

  /** Begins to read; a mapping that was stopped does not begin again. */
  start(): void {
    this.#running ??= this.#keepListing();
  }

  /** Polls every shard at once. */
  kick(): void {
    for (const { worker } of this.#workers.values()) worker.kick();
  }

  /** Waits up to `boundMs` for running invocations and their checkpoints, then leaves them to themselves. */
  async stop(boundMs = STOP_BOUND_MS): Promise<void> {
    this.#stopping = true;
    this.#listBell.ring();
    const workers = [...this.#workers.values()];
    for (const { worker } of workers) worker.stop();
    const ended = Promise.all([this.#running, ...workers.map((each) => each.ended)]);
    await within(this.#options.timer, boundMs, ended);
    this.#abandoned = true;
    for (const { worker } of workers) worker.abandon();
  }

  async #keepListing(): Promise<void> {
    const { random } = this.#options;
    let failures = 0;
    while (!this.#stopping) {
      try {
        const found = await this.#list();
        failures = 0;
        // After a shard's end its children are looked for at short intervals first.
        const base = this.#deps.policy.pollIntervalMs;
        this.#listDelayMs = found ? base : Math.min(LIST_INTERVAL_MS, Math.max(base, this.#listDelayMs * 2));
      } catch (error) {
        failures += 1;
        this.#failed('source', error);
      }
      await this.#listBell.sleep(failures > 0 ? backoffMs(failures, random()) : this.#listDelayMs);
    }
  }

  /** Brings the workers in line with the shards that are there; true if that changed anything. */
  async #list(): Promise<boolean> {
    const { reader, checkpoints, name } = this.#options;
    this.#checkpoints ??= await checkpoints.load(name);
    const shards = await reader.listShards();
    if (this.#stopping) return false;
    const plan = planShards(shards, this.#checkpoints);
    const begun = plan.ready.filter(({ id }) => !this.#workers.has(id));
    for (const { id } of begun) this.#begin(id);
    for (const id of plan.gone) this.#lose(id);
    for (const id of plan.forgotten) this.#forget(id);
    return begun.length > 0 || plan.gone.length > 0;
  }

  #begin(shardId: string): void {
    const saved = this.#checkpoints?.[shardId] ?? { finished: false };
    this.#checkpoints = { ...this.#checkpoints, [shardId]: saved };
    const worker = new ShardWorker(shardId, saved.sequence ?? TRIM_HORIZON, this.#deps);
    const ended = worker.run().then((end) => {
      this.#workers.delete(shardId);
      if (end === 'stopped') return;
      this.#listDelayMs = 0;
      this.#listBell.ring();
    });
    this.#workers.set(shardId, { worker, ended });
  }

  /** What was read of a lost shard is still worked off before its children begin. */
  #lose(shardId: string): void {
    if (this.#lost.has(shardId)) return;
    this.#lost.add(shardId);
    const worker = this.#workers.get(shardId)?.worker;
    const after = worker?.position ?? this.#checkpoints?.[shardId]?.sequence ?? TRIM_HORIZON;
    if (worker === undefined) this.#forget(shardId);
    else worker.endOfShard();
    const { streamArn, onDataLoss } = this.#options;
    onDataLoss({ kind: 'shard-gone', streamArn, shardId, after });
  }

  #forget(shardId: string): void {
    const { [shardId]: _, ...others } = this.#checkpoints ?? {};
    this.#checkpoints = others;
    this.#lost.delete(shardId);
  }

  async #save(shardId: string, checkpoint: Checkpoint): Promise<void> {
    if (this.#abandoned) return;
    this.#checkpoints = { ...this.#checkpoints, [shardId]: checkpoint };
    await this.#options.checkpoints.save(this.#options.name, this.#checkpoints);
    this.#stats = { ...this.#stats, lastSequence: checkpoint.sequence ?? this.#stats.lastSequence };
  }

  #countInvocation({ records }: Batch, outcome: BatchOutcome): void {
    const failed = outcome.kind === 'failure';
    this.#count({ batches: 1, errors: failed ? 1 : 0, records: failed ? outcome.from : records.length });
  }

  #failed(where: 'function' | 'source', error: unknown): void {
    if (where === 'source') this.#count({ sourceErrors: 1 });
    this.#options.onError?.(where, error);
  }

  #count(more: Partial<Record<'batches' | 'errors' | 'records' | 'givenUp' | 'sourceErrors', number>>): void {
    const stats = { ...this.#stats };
    for (const [name, by] of Object.entries(more) as [keyof typeof more, number][]) stats[name] += by;
    this.#stats = stats;
  }
}
