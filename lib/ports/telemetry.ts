/** A number with its unit, as CloudWatch knows them. */
export type Metric = {
  readonly name: string;
  readonly value: number;
  readonly unit: 'Count' | 'Milliseconds' | 'Seconds' | 'Bytes';
};

/** Structured log lines and metrics. Never row data: names, positions and counts only. */
export interface Telemetry {
  event(kind: string, fields: Readonly<Record<string, string | number | boolean>>): void;
  metrics(metrics: readonly Metric[]): void;
}

/** Time, passed in. */
export interface Clock {
  /** Wall clock, Unix ms. */
  now(): number;
}

/** Time for leases and for watching: no jump of the wall clock may lengthen the one or shorten the other. */
export interface SteadyClock extends Clock {
  /** Milliseconds since some moment of this process; never goes back. */
  steadyMs(): number;
}
