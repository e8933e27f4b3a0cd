import {
  type AlarmDefinitions,
  type CompositeAlarmDefinition,
  type MetricAlarmDefinition,
  namesIn,
} from '#lib/local/cloudwatch/alarm-definition.ts';
import { EXTRA_PERIODS, evaluate } from '#lib/local/cloudwatch/evaluate.ts';

export type StateValue = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';

export type Datum = {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly value: number;
  /** Unix ms. */
  readonly atMs: number;
};

type State = {
  readonly value: StateValue;
  readonly reason: string;
  /** When it came to be so, Unix ms. */
  readonly sinceMs: number;
};

export type Described =
  | { readonly kind: 'metric'; readonly definition: MetricAlarmDefinition; readonly state: State }
  | { readonly kind: 'composite'; readonly definition: CompositeAlarmDefinition; readonly state: State };

type Bucket = { readonly Minimum: number; readonly Maximum: number; readonly Sum: number };
type Watched = { readonly definition: MetricAlarmDefinition; state: State; nextPeriod: number };

/** Periods that are remembered. */
const REMEMBERED = 32;

/**
 * The part of CloudWatch that alarms need, in memory: figures by minute, and alarms over them. An alarm is evaluated
 * whenever somebody asks, for each minute that has ended since. A new one waits until there are as many minutes as it
 * evaluates.
 */
export class LocalCloudWatch {
  readonly #minuteMs: number;
  readonly #now: () => number;
  readonly #series = new Map<string, Map<number, Bucket>>();
  readonly #alarms: readonly Watched[];
  readonly #composite: { readonly definition: CompositeAlarmDefinition; state: State }[];

  /** @param minuteMs how long a minute of the alarms takes. */
  constructor(given: {
    readonly alarms: AlarmDefinitions;
    readonly minuteMs: number;
    readonly now: () => number;
  }) {
    this.#minuteMs = given.minuteMs;
    this.#now = given.now;
    const sinceMs = this.#now();
    const state: State = { value: 'INSUFFICIENT_DATA', reason: 'The alarm is new.', sinceMs };
    this.#alarms = given.alarms.metric.map((definition) => ({
      definition,
      state,
      nextPeriod: this.#period(sinceMs) + 1 + definition.EvaluationPeriods,
    }));
    this.#composite = given.alarms.composite.map((definition) => ({ definition, state }));
  }

  put(data: readonly Datum[]): void {
    for (const { namespace, name, dimensions, value, atMs } of data) {
      const key = keyOf(namespace, name, Object.entries(dimensions));
      const series = this.#series.get(key) ?? new Map<number, Bucket>();
      this.#series.set(key, series);
      const period = this.#period(atMs);
      const before = series.get(period);
      series.set(period, {
        Minimum: Math.min(before?.Minimum ?? value, value),
        Maximum: Math.max(before?.Maximum ?? value, value),
        Sum: (before?.Sum ?? 0) + value,
      });
      for (const each of series.keys()) if (each < period - REMEMBERED) series.delete(each);
    }
  }

  /** Holds until the next evaluation. False if there is no alarm of that name. */
  setState(name: string, value: StateValue, reason: string): boolean {
    this.#evaluate();
    const state = { value, reason, sinceMs: this.#now() };
    const found = [...this.#alarms, ...this.#composite].find(
      ({ definition }) => definition.AlarmName === name,
    );
    if (found !== undefined) found.state = state;
    return found !== undefined;
  }

  /** All alarms as they stand, in the order of their names. */
  describe(): readonly Described[] {
    this.#evaluate();
    const metric = this.#alarms.map(({ definition, state }) => ({
      kind: 'metric' as const,
      definition,
      state,
    }));
    const composite = this.#composite.map((each) => ({ kind: 'composite' as const, ...each }));
    return [...metric, ...composite].toSorted((a, b) =>
      a.definition.AlarmName < b.definition.AlarmName ? -1 : 1,
    );
  }

  #evaluate(): void {
    const current = this.#period(this.#now());
    for (const alarm of this.#alarms) {
      // Of a long time without a question, only the end matters.
      alarm.nextPeriod = Math.max(alarm.nextPeriod, current - REMEMBERED);
      for (; alarm.nextPeriod <= current; alarm.nextPeriod++) this.#look(alarm, alarm.nextPeriod);
    }
    for (const each of this.#composite) {
      const names = namesIn(each.definition.AlarmRule);
      const named = this.#alarms.filter(({ definition }) => names.includes(definition.AlarmName));
      const on = named
        .filter(({ state }) => state.value === 'ALARM')
        .map(({ definition }) => definition.AlarmName);
      const value = on.length > 0 ? 'ALARM' : 'OK';
      if (value === each.state.value) continue;
      const sinceMs = Math.max(...named.map(({ state }) => state.sinceMs));
      each.state = {
        value,
        reason: on.length > 0 ? `In alarm: ${on.join(', ')}.` : 'None is in alarm.',
        sinceMs,
      };
    }
  }

  /** At the end of the minute before `period`. */
  #look(alarm: Watched, period: number): void {
    const { definition } = alarm;
    const { Dimensions, EvaluationPeriods, MetricName, Namespace, Statistic } = definition;
    const series = this.#series.get(
      keyOf(
        Namespace,
        MetricName,
        Dimensions.map(({ Name, Value }) => [Name, Value] as const),
      ),
    );
    const count = EvaluationPeriods + EXTRA_PERIODS;
    const periods = Array.from(
      { length: count },
      (_, index) => series?.get(period - count + index)?.[Statistic],
    );
    const { state: value, reason } = evaluate(definition, periods);
    if (value === alarm.state.value) return;
    alarm.state = { value, reason, sinceMs: period * this.#minuteMs };
  }

  #period(atMs: number): number {
    return Math.floor(atMs / this.#minuteMs);
  }
}

/** A figure with other dimensions is another figure. */
function keyOf(namespace: string, name: string, dimensions: readonly (readonly [string, string])[]): string {
  return JSON.stringify([namespace, name, dimensions.toSorted(([a], [b]) => (a < b ? -1 : 1))]);
}
