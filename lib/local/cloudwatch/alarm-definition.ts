import * as z from 'zod';

const dimension = z.object({ Name: z.string(), Value: z.string() });

/** A metric alarm as CloudFormation declares it, as far as the twin knows alarms: it refuses all others. */
export const metricAlarm = z.object({
  AlarmName: z.string(),
  AlarmDescription: z.string(),
  Namespace: z.string(),
  MetricName: z.string(),
  Dimensions: z.array(dimension).default([]),
  Statistic: z.enum(['Maximum', 'Minimum', 'Sum']),
  /** Seconds. */
  Period: z.literal(60),
  EvaluationPeriods: z.int().positive(),
  DatapointsToAlarm: z.int().positive(),
  Threshold: z.number(),
  ComparisonOperator: z.enum(['GreaterThanThreshold', 'LessThanThreshold']),
  TreatMissingData: z.enum(['breaching', 'notBreaching']),
});
export type MetricAlarmDefinition = z.infer<typeof metricAlarm>;

export const compositeAlarm = z.object({
  AlarmName: z.string(),
  AlarmDescription: z.string(),
  /** `ALARM("a") OR ALARM("b")`, of any length: the twin knows no other rule. */
  AlarmRule: z.string().regex(/^ALARM\("[^"]+"\)( OR ALARM\("[^"]+"\))*$/),
});
export type CompositeAlarmDefinition = z.infer<typeof compositeAlarm>;

/** The alarms that a rule names. */
export function namesIn(rule: string): readonly string[] {
  return [...rule.matchAll(/"([^"]+)"/g)].map(([, name]) => name!);
}

export type AlarmDefinitions = {
  readonly metric: readonly MetricAlarmDefinition[];
  readonly composite: readonly CompositeAlarmDefinition[];
};
