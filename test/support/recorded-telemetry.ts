import type { Metric, Telemetry } from '#lib/ports/telemetry.ts';

type Fields = Readonly<Record<string, string | number | boolean>>;

/** Telemetry that remembers. */
export class RecordedTelemetry implements Telemetry {
  readonly events: { readonly kind: string; readonly fields: Fields }[] = [];
  readonly sent: Metric[] = [];

  event(kind: string, fields: Fields): void {
    this.events.push({ kind, fields });
  }

  metrics(metrics: readonly Metric[]): void {
    this.sent.push(...metrics);
  }

  kinds(): readonly string[] {
    return this.events.map(({ kind }) => kind);
  }

  /** The last value sent under a name; undefined if none was. */
  metric(name: string): number | undefined {
    return this.sent.findLast((metric) => metric.name === name)?.value;
  }
}
