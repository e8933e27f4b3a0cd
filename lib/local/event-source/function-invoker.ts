import { randomUUID } from 'node:crypto';
import type { Context } from 'aws-lambda';
import { type Timer, within } from '#lib/local/event-source/timer.ts';

/** How an invocation ended. */
export type Invocation =
  | { readonly kind: 'returned'; readonly requestId: string; readonly result: unknown }
  | { readonly kind: 'failed'; readonly requestId: string; readonly error: unknown }
  /** The deadline passed. The handler may still be running: its late effects must be harmless. */
  | { readonly kind: 'timed-out'; readonly requestId: string };

export type FunctionInvokerOptions<E> = {
  readonly functionName: string;
  readonly functionArn: string;
  readonly handler: (event: E, context: Context) => Promise<unknown>;
  readonly timeoutMs: number;
  readonly timer: Timer;
  /** Makes a request id. */
  readonly newId?: () => string;
  /** Hears how each invocation ended. */
  readonly onEnd?: (event: E, invocation: Invocation) => void;
};

/** A function as Lambda runs it: with a context, and no longer than its timeout. */
export class FunctionInvoker<E> {
  readonly #options: FunctionInvokerOptions<E>;

  constructor(options: FunctionInvokerOptions<E>) {
    this.#options = options;
  }

  get functionArn(): string {
    return this.#options.functionArn;
  }

  /** Never rejects. The handler gets the event itself, not a copy, and must not change it. */
  async invoke(event: E): Promise<Invocation> {
    const { handler, timeoutMs, timer, newId = randomUUID, onEnd } = this.#options;
    const requestId = newId();
    const context = this.#context(requestId, timer.now() + timeoutMs);
    const run = async (): Promise<Invocation> => {
      try {
        return { kind: 'returned', requestId, result: await handler(event, context) };
      } catch (error) {
        return { kind: 'failed', requestId, error };
      }
    };
    const ended = await within(timer, timeoutMs, run());
    const invocation = ended === 'late' ? ({ kind: 'timed-out', requestId } as const) : ended;
    onEnd?.(event, invocation);
    return invocation;
  }

  #context(awsRequestId: string, deadlineMs: number): Context {
    const { functionName, functionArn, timer } = this.#options;
    return {
      awsRequestId,
      functionName,
      functionVersion: '$LATEST',
      invokedFunctionArn: functionArn,
      memoryLimitInMB: '512',
      logGroupName: `/aws/lambda/${functionName}`,
      logStreamName: 'local',
      callbackWaitsForEmptyEventLoop: false,
      getRemainingTimeInMillis: () => Math.max(0, deadlineMs - timer.now()),
      done: promiseOnly,
      fail: promiseOnly,
      succeed: promiseOnly,
    };
  }
}

function promiseOnly(): never {
  throw new TypeError('A handler answers with its promise');
}
