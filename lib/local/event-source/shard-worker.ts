import type { Batch, MappingPolicy } from '#lib/local/event-source/batch.ts';
import { type BatchOutcome, batchOutcome } from '#lib/local/event-source/batch-outcome.ts';
import type { Checkpoint } from '#lib/local/event-source/checkpoint-store.ts';
import type { FunctionInvoker } from '#lib/local/event-source/function-invoker.ts';
import {
  type Action,
  afterError,
  afterGiveUp,
  afterInvocation,
  afterLoss,
  afterRead,
  afterSave,
  beginShard,
  nextAction,
  pollNow,
  type ShardProgress,
} from '#lib/local/event-source/shard-progress.ts';
import {
  type FailureInfo,
  failureInfo,
  type StreamEvent,
  streamEvent,
} from '#lib/local/event-source/stream-event.ts';
import type { Position, StreamReader } from '#lib/local/event-source/stream-reader.ts';
import type { StreamRecord } from '#lib/local/event-source/stream-record.ts';
import { Bell, type Timer } from '#lib/local/event-source/timer.ts';

/** What the workers of a mapping share. */
export type ShardWorkerDeps = {
  readonly streamArn: string;
  readonly policy: MappingPolicy;
  readonly reader: StreamReader;
  readonly invoker: FunctionInvoker<StreamEvent>;
  readonly filter: (record: StreamRecord) => boolean;
  readonly onFailure: (info: FailureInfo) => Promise<void>;
  readonly timer: Timer;
  readonly random: () => number;
  readonly save: (shardId: string, checkpoint: Checkpoint) => Promise<void>;
  readonly observer: ShardObserver;
};

type ShardObserver = {
  invoked(batch: Batch, outcome: BatchOutcome): void;
  gaveUp(batch: Batch): void;
  /** `where` tells the function's errors from those of the stream, the store and the destination. */
  failed(where: 'function' | 'source', error: unknown): void;
};

/** Does, one after the other, what a shard's progress says. */
export class ShardWorker {
  readonly #shardId: string;
  readonly #deps: ShardWorkerDeps;
  readonly #bell: Bell;
  #progress: ShardProgress;
  #stage: 'running' | 'stopping' | 'abandoned' = 'running';
  #kicked = false;

  constructor(shardId: string, from: Position, deps: ShardWorkerDeps) {
    this.#shardId = shardId;
    this.#deps = deps;
    this.#bell = new Bell(deps.timer);
    this.#progress = beginShard(from);
  }

  /** What was read lies before this. */
  get position(): Position {
    return this.#progress.position;
  }

  /** Resolves to 'finished' at the end of the shard, to 'stopped' after `stop`; never rejects. */
  async run(): Promise<'finished' | 'stopped'> {
    const { policy, timer, random, observer } = this.#deps;
    while (this.#stage !== 'abandoned') {
      if (this.#kicked) this.#progress = pollNow(this.#progress);
      this.#kicked = false;
      const [progress, action] = nextAction(this.#progress, policy, timer.now());
      this.#progress = progress;
      // On the way out, only what is settled is still saved.
      if (this.#stage === 'stopping' && action.kind !== 'save') break;
      try {
        await this.#perform(action);
        if (action.kind === 'finish') return 'finished';
      } catch (error) {
        observer.failed('source', error);
        this.#progress = afterError(this.#progress, timer.now(), random());
      }
    }
    return 'stopped';
  }

  /** Polls at once. */
  kick(): void {
    this.#kicked = true;
    this.#bell.ring();
  }

  /** Reads no more; works off what was read, then finishes. */
  endOfShard(): void {
    this.#progress = afterLoss(this.#progress);
    this.#bell.ring();
  }

  /** Ends after the step in progress. */
  stop(): void {
    this.#stage = 'stopping';
    this.#bell.ring();
  }

  /** As if the process had died: whatever the step in progress comes to, nothing follows from it. */
  abandon(): void {
    this.#stage = 'abandoned';
    this.#bell.ring();
  }

  async #perform(action: Action): Promise<void> {
    const { policy, reader, timer, filter, save } = this.#deps;
    switch (action.kind) {
      case 'wait':
        return this.#bell.sleep(action.ms);
      case 'read': {
        const read = await reader.read(this.#shardId, action.after, action.limit);
        this.#progress = afterRead(this.#progress, policy, read, action.limit, timer.now(), filter);
        return;
      }
      case 'invoke':
        return this.#invoke(action.batch);
      case 'give-up':
        return this.#giveUp(action);
      case 'save':
        await save(this.#shardId, { sequence: action.sequence, finished: false });
        this.#progress = afterSave(this.#progress, action.sequence);
        return;
      case 'finish':
        return save(this.#shardId, { finished: true });
    }
  }

  async #invoke(batch: Batch): Promise<void> {
    const { policy, invoker, timer, random, observer, streamArn } = this.#deps;
    const event = streamEvent(batch, this.#progress, policy, this.#shardId, streamArn);
    const invocation = await invoker.invoke(event);
    if (this.#stage === 'abandoned') return;
    const outcome = batchOutcome(invocation, batch.records, policy);
    if (invocation.kind === 'failed') observer.failed('function', invocation.error);
    if (invocation.kind === 'timed-out') observer.failed('function', new Error('The function timed out'));
    observer.invoked(batch, outcome);
    this.#progress = afterInvocation(
      this.#progress,
      policy,
      outcome,
      invocation.requestId,
      timer.now(),
      random(),
    );
  }

  async #giveUp({ batch, reason }: Extract<Action, { kind: 'give-up' }>): Promise<void> {
    const { invoker, timer, onFailure, observer, streamArn } = this.#deps;
    const source = { shardId: this.#shardId, streamArn, functionArn: invoker.functionArn };
    await onFailure(failureInfo(batch, reason, source, timer.now()));
    observer.gaveUp(batch);
    this.#progress = afterGiveUp(this.#progress, batch.records.length);
  }
}
