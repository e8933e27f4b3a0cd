import { Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  ComparisonOperator,
  type IMetric,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { Handler } from '#lib/constructs/handler.ts';
import { type FunctionName, resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

type AlarmsProps = {
  readonly place: Place;
  readonly handlers: Readonly<Record<FunctionName, Handler>>;
  readonly failures: Queue;
  /** Name of an SNS topic that exists in every Region of the group. */
  readonly topicName?: string | undefined;
};

type AlarmSpec = {
  readonly metric: IMetric;
  readonly above: number;
  readonly severity: 'page' | 'ticket';
  readonly text: string;
  /** Heading of docs/RUNBOOK.md, as an anchor. */
  readonly runbook: string;
  /** Minutes out of five that have to breach; without it, one alone does. */
  readonly of5?: number;
  /** Whether a missing figure is a breach: so for every lag, and never for a count of failures. */
  readonly missing: TreatMissingData;
};

const MINUTE = Duration.minutes(1);

/** What wakes an operator up. An alarm's description is its severity, what it means, and the runbook section. */
export class Alarms extends Construct {
  readonly #group: Place['config']['group'];
  readonly #topic: ITopic | undefined;

  constructor(scope: Construct, id: string, { place, handlers, failures, topicName }: AlarmsProps) {
    super(scope, id);
    this.#group = place.config.group;
    if (topicName !== undefined) {
      const arn = Stack.of(this).formatArn({ service: 'sns', resource: topicName });
      this.#topic = Topic.fromTopicArn(this, 'Topic', arn);
    }
    const own = (metricName: string, statistic: string) =>
      new Metric({
        namespace: 'Understudy',
        metricName,
        dimensionsMap: { group: place.config.group, region: place.region },
        statistic,
        period: MINUTE,
      });

    this.#lag('applied-lag', {
      metric: own('AppliedLagSeconds', Stats.MAXIMUM),
      above: 300,
      text: 'The store here is more than 5 minutes behind the leader, or nobody says how far.',
    });
    this.#lag('durable-lag', {
      metric: own('DurableLagSeconds', Stats.MAXIMUM),
      above: 300,
      text: 'The log here is more than 5 minutes behind the leader, or nobody says how far.',
    });
    this.#lag('capture-age', {
      metric: handlers.capture.fn.metric('IteratorAge', { statistic: Stats.MAXIMUM, period: MINUTE }),
      above: 60_000,
      text: 'Changes wait for more than a minute to be captured, or none are, heartbeats included.',
    });
    this.#count('rejected-records', {
      metric: own('RejectedRecords', Stats.SUM),
      severity: 'page',
      text: 'A change could not be logged: replicas lack it until it is made again.',
      runbook: 'capture_record_rejected',
    });
    this.#count('failure-queue', {
      metric: failures.metricApproximateNumberOfMessagesVisible({ statistic: Stats.MAXIMUM, period: MINUTE }),
      severity: 'page',
      text: 'The failure queue holds changes that nobody has looked at; it keeps them for 14 days.',
      runbook: 'capture_record_rejected',
    });
    for (const [name, { fn }] of Object.entries(handlers)) {
      this.#count(`${name}-errors`, {
        metric: fn.metricErrors({ statistic: Stats.SUM, period: MINUTE }),
        severity: 'ticket',
        text: `The function ${name} keeps failing.`,
        runbook: 'alarm-function-errors',
        // Lambda tries again by itself: one failure alone is no news.
        of5: 3,
      });
    }
  }

  /** A lag in force for 3 of 5 minutes; a missing figure is a breach. */
  #lag(name: string, spec: Pick<AlarmSpec, 'metric' | 'above' | 'text'>): void {
    const missing = TreatMissingData.BREACHING;
    this.#alarm(name, { ...spec, severity: 'page', runbook: `alarm-${name}`, of5: 3, missing });
  }

  /** Anything above none; a figure that is missing is none. */
  #count(name: string, spec: Omit<AlarmSpec, 'above' | 'missing'>): void {
    this.#alarm(name, { ...spec, above: 0, missing: TreatMissingData.NOT_BREACHING });
  }

  #alarm(name: string, { metric, above, severity, text, runbook, of5, missing }: AlarmSpec): void {
    const alarm = new Alarm(this, name, {
      alarmName: resourceName(this.#group, name),
      alarmDescription: `[${severity}] ${text} See docs/RUNBOOK.md#${runbook}`,
      metric,
      threshold: above,
      comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: of5 === undefined ? 1 : 5,
      datapointsToAlarm: of5 ?? 1,
      treatMissingData: missing,
    });
    if (this.#topic === undefined) return;
    alarm.addAlarmAction(new SnsAction(this.#topic));
    alarm.addOkAction(new SnsAction(this.#topic));
  }
}
