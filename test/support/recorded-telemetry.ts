import type { MetricName } from '#lib/domain/metrics.ts';
import type { Figures, Telemetry } from '#lib/ports/telemetry.ts';

type Fields = Readonly<Record<string, string | number | boolean>>;

/** Telemetry that remembers. */
export class RecordedTelemetry implements Telemetry {
  readonly events: { readonly kind: string; readonly fields: Fields }[] = [];
  /** Every figure that was known, in the order in which they were sent. */
  readonly sent: (readonly [name: MetricName, value: number])[] = [];

  event(kind: string, fields: Fields): void {
    this.events.push({ kind, fields });
  }

  metrics(figures: Figures): void {
    for (const [name, value] of Object.entries(figures)) {
      if (value !== undefined) this.sent.push([name as MetricName, value]);
    }
  }

  kinds(): readonly string[] {
    return this.events.map(({ kind }) => kind);
  }

  /** The last value sent under a name; undefined if none was. */
  metric(name: MetricName): number | undefined {
    return this.sent.findLast(([each]) => each === name)?.[1];
  }
}
