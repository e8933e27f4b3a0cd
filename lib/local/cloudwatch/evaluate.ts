import type { MetricAlarmDefinition } from '#lib/local/cloudwatch/alarm-definition.ts';

/** How many periods more than it evaluates CloudWatch looks back, in case that some are missing. */
export const EXTRA_PERIODS = 2;

type Rule = Pick<
  MetricAlarmDefinition,
  'ComparisonOperator' | 'DatapointsToAlarm' | 'EvaluationPeriods' | 'Threshold' | 'TreatMissingData'
>;

/**
 * The state of an alarm by its last periods, the oldest first; undefined for a period without data. Periods that have
 * data count before those that have none, which count only as far as there are too few others (CloudWatch User Guide,
 * "Configuring how CloudWatch alarms treat missing data").
 */
export function evaluate(
  rule: Rule,
  periods: readonly (number | undefined)[],
): { readonly state: 'OK' | 'ALARM'; readonly reason: string } {
  const { DatapointsToAlarm: least, EvaluationPeriods: count, Threshold: threshold } = rule;
  const known = periods
    .slice(-(count + EXTRA_PERIODS))
    .filter((value) => value !== undefined)
    .slice(-count);
  const above = rule.ComparisonOperator === 'GreaterThanThreshold';
  const breaching = known.filter((value) => (above ? value > threshold : value < threshold)).length;
  const missing = count - known.length;
  const counted = breaching + (rule.TreatMissingData === 'breaching' ? missing : 0);
  const how = `${above ? 'greater' : 'less'} than the threshold (${threshold})`;
  const absent = missing === 0 ? '' : `, and ${missing} are missing and count as ${rule.TreatMissingData}`;
  return {
    state: counted >= least ? 'ALARM' : 'OK',
    reason: `${breaching} of the last ${count} datapoints [${known.join(', ')}] are ${how}${absent}; ${least} make an alarm.`,
  };
}
