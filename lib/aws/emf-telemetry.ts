import type { Clock, Metric, Telemetry } from '#lib/ports/telemetry.ts';

/**
 * Telemetry as lines of JSON on standard output. Metrics are in CloudWatch's embedded metric format, which
 * Lambda's log group turns into metrics without a call (CloudWatch User Guide, "Embedded metric format").
 */
export class EmfTelemetry implements Telemetry {
  readonly #write: (line: string) => void;
  readonly #clock: Clock;
  readonly #context: Readonly<Record<string, string>>;

  /** @param context fields of every line, such as group and Region; dimensions of every metric. */
  constructor(deps: {
    write: (line: string) => void;
    clock: Clock;
    context: Readonly<Record<string, string>>;
  }) {
    this.#write = deps.write;
    this.#clock = deps.clock;
    this.#context = deps.context;
  }

  event(kind: string, fields: Readonly<Record<string, string | number | boolean>>): void {
    this.#write(JSON.stringify({ kind, atMs: this.#clock.now(), ...this.#context, ...fields }));
  }

  metrics(metrics: readonly Metric[]): void {
    if (metrics.length === 0) return;
    const values = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    this.#write(
      JSON.stringify({
        _aws: {
          Timestamp: this.#clock.now(),
          CloudWatchMetrics: [
            {
              Namespace: 'Understudy',
              Dimensions: [Object.keys(this.#context)],
              Metrics: metrics.map(({ name, unit }) => ({ Name: name, Unit: unit })),
            },
          ],
        },
        ...this.#context,
        ...values,
      }),
    );
  }
}
