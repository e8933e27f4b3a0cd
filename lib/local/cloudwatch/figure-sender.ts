import { type CloudWatchClient, PutMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { dataOf } from '#lib/local/cloudwatch/emf.ts';
import type { Datum } from '#lib/local/cloudwatch/local-cloudwatch.ts';
import type { Invocation } from '#lib/local/event-source/function-invoker.ts';
import type { StreamEvent } from '#lib/local/event-source/stream-event.ts';

/** Figures in one request, at most. */
const MAX_DATA = 1_000;

/** Brings a Region's figures to its CloudWatch: those in log lines, and those that AWS keeps of its resources. */
export class FigureSender {
  readonly #cloudwatch: CloudWatchClient;
  readonly #onError: (error: unknown) => void;
  #waiting: Datum[] = [];

  /** @param onError hears of figures that are lost. */
  constructor(given: { cloudwatch: CloudWatchClient; onError: (error: unknown) => void }) {
    this.#cloudwatch = given.cloudwatch;
    this.#onError = given.onError;
  }

  /** The figures that are in a line of a function's log, if any. */
  line(line: string): void {
    this.#waiting.push(...dataOf(line));
  }

  add(namespace: string, name: string, dimensions: Readonly<Record<string, string>>, value: number): void {
    this.#waiting.push({ namespace, name, dimensions, value, atMs: Date.now() });
  }

  /** What AWS keeps of an invocation of a function. */
  invoked(FunctionName: string, event: object, { kind }: Invocation): void {
    this.add('AWS/Lambda', 'Errors', { FunctionName }, kind === 'returned' ? 0 : 1);
    const newest = (event as Partial<StreamEvent>).Records?.at(-1)?.dynamodb.ApproximateCreationDateTime;
    if (newest === undefined) return;
    this.add('AWS/Lambda', 'IteratorAge', { FunctionName }, Math.max(0, Date.now() - newest * 1000));
  }

  /** Sends what has come since the last call. What is not taken is lost. */
  async flush(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [Namespace, data] of Map.groupBy(waiting, ({ namespace }) => namespace)) {
      for (let at = 0; at < data.length; at += MAX_DATA) {
        const MetricData = data.slice(at, at + MAX_DATA).map(({ name, dimensions, value, atMs }) => ({
          MetricName: name,
          Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
          Value: value,
          Timestamp: new Date(atMs),
        }));
        await this.#cloudwatch.send(new PutMetricDataCommand({ Namespace, MetricData })).catch(this.#onError);
      }
    }
  }
}
