import type { MetricName } from '#lib/domain/metrics.ts';

/** Figures by name. One that is not known is undefined, and is not sent. */
export type Figures = { readonly [Name in MetricName]?: number | undefined };

/** Structured log lines and metrics. Never row data: names, positions and counts only. */
export interface Telemetry {
  event(kind: string, fields: Readonly<Record<string, string | number | boolean>>): void;
  metrics(figures: Figures): void;
}

/** For whoever has nobody to tell. */
export const SILENT: Telemetry = { event: () => {}, metrics: () => {} };

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
