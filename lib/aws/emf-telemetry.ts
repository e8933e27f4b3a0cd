import type { XrayNotes } from '#lib/aws/xray-notes.ts';
import { COUNTED, METRICS, type MetricName } from '#lib/domain/metrics.ts';
import type { Clock, Figures, Telemetry } from '#lib/ports/telemetry.ts';

/** The trace of the invocation that is under way. */
type Notes = Pick<XrayNotes, 'traceId' | 'note'>;

/**
 * Telemetry as lines of JSON on standard output. Metrics are in CloudWatch's embedded metric format, which
 * Lambda's log group turns into metrics without a call (CloudWatch User Guide, "Embedded metric format").
 */
export class EmfTelemetry implements Telemetry {
  readonly #write: (line: string) => void;
  readonly #clock: Clock;
  readonly #context: Readonly<Record<string, string>>;
  readonly #notes: Notes | undefined;

  /** @param context fields of every line, such as group and Region; dimensions of every metric. */
  constructor(deps: {
    write: (line: string) => void;
    clock: Clock;
    context: Readonly<Record<string, string>>;
    notes?: Notes;
  }) {
    this.#write = deps.write;
    this.#clock = deps.clock;
    this.#context = deps.context;
    this.#notes = deps.notes;
  }

  event(kind: string, fields: Readonly<Record<string, string | number | boolean>>): void {
    const atMs = this.#clock.now();
    const traceId = this.#notes?.traceId;
    const counted = Object.hasOwn(COUNTED, kind) ? COUNTED[kind] : undefined;
    this.#line({
      ...(counted && { _aws: this.#directive(atMs, [counted]), [counted]: 1 }),
      kind,
      atMs,
      ...(traceId && { traceId }),
      ...fields,
      ...this.#context,
    });
    // Of all events, those are found again by whoever looks for a record.
    if ('lastLsn' in fields) this.#notes?.note(kind, { ...fields, ...this.#context });
  }

  metrics(figures: Figures): void {
    // JSON has no word for NaN and infinity: CloudWatch would refuse the line, and all that is in it.
    const known = Object.entries(figures).filter(([, value]) => Number.isFinite(value));
    if (known.length === 0) return;
    const names = known.map(([name]) => name as MetricName);
    this.#line({
      _aws: this.#directive(this.#clock.now(), names),
      ...this.#context,
      ...Object.fromEntries(known),
    });
  }

  #directive(Timestamp: number, names: readonly MetricName[]) {
    return {
      Timestamp,
      CloudWatchMetrics: [
        {
          Namespace: 'Understudy',
          Dimensions: [Object.keys(this.#context)],
          Metrics: names.map((Name) => ({ Name, Unit: METRICS[Name].unit })),
        },
      ],
    };
  }

  #line(value: object): void {
    this.#write(JSON.stringify(value));
  }
}
