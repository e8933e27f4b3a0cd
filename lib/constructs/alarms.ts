import { ArnFormat, Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  type AlarmBase,
  AlarmRule,
  ComparisonOperator,
  CompositeAlarm,
  Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import {
  type AlarmSpec,
  alarmsIn,
  DRILL_FAILED,
  describeAlarm,
  UNSAFE,
} from '#lib/constructs/alarm-specs.ts';
import { workflowArn } from '#lib/constructs/failover-workflow.ts';
import type { Handler } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';
import { alarmName, LAG_ALARMS } from '#lib/domain/alarms.ts';

type AlarmsProps = {
  readonly place: Place;
  /** The lag above which a replica is no candidate. */
  readonly maxLag: Duration;
  /** Name of an SNS topic that exists in every Region of the group: it gets every alarm. */
  readonly topicName?: string | undefined;
  /** Name of another, for what is to be paged on; `topicName` if there is none. */
  readonly pageTopicName?: string | undefined;
  /** Whether drills are scheduled. */
  readonly drills?: boolean;
};

const MISSING = {
  breaching: TreatMissingData.BREACHING,
  notBreaching: TreatMissingData.NOT_BREACHING,
} as const;

const QUEUES = { 'failure-queue': 'failures', 'drill-queue': 'drill-failures' } as const;

/**
 * What wakes an operator up. An alarm's description is its severity, what it means, and the runbook section. All that
 * is watched is called by its name: the construct needs nothing of the others.
 */
export class Alarms extends Construct {
  readonly #place: Place;
  readonly #maxLag: Duration;

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    const { place, maxLag, topicName, pageTopicName = topicName, drills = false } = props;
    this.#place = place;
    this.#maxLag = maxLag;
    const isWitness = place.config.witnesses.includes(place.region);
    const { kind } = place.config.engine;
    const specs = [...alarmsIn(isWitness ? 'witness' : 'replica', kind), ...(drills ? [DRILL_FAILED] : [])];
    const alarms = specs.map((spec) => this.#alarm(spec));
    const unsafe = this.#composite(specs.filter(({ severity }) => severity === 'page'));
    // The rule names them, and CloudWatch takes no name that it does not know.
    unsafe.node.addDependency(...alarms);
    notify(alarms, this.#topic('Topic', topicName));
    notify([unsafe], this.#topic('PageTopic', pageTopicName));
  }

  /** Reading whether a Region's lag alarms are on, in every Region. */
  grantReadLag(handler: Handler): void {
    const { config } = this.#place;
    handler.allow(
      ['cloudwatch:DescribeAlarms'],
      config.regions.flatMap(({ name: region }) =>
        LAG_ALARMS.map((alarm) =>
          Stack.of(this).formatArn({
            service: 'cloudwatch',
            region,
            resource: 'alarm',
            resourceName: alarmName(config.group, alarm),
            arnFormat: ArnFormat.COLON_RESOURCE_NAME,
          }),
        ),
      ),
    );
  }

  #alarm(spec: AlarmSpec): Alarm {
    const { name, of5, missing, statistic, threshold } = spec;
    const isAbove = 'above' in threshold;
    const limit = isAbove ? threshold.above : threshold.below;
    return new Alarm(this, name, {
      alarmName: alarmName(this.#place.config.group, name),
      alarmDescription: describeAlarm(spec),
      metric: new Metric({ ...this.#watched(spec), statistic, period: Duration.minutes(1) }),
      threshold: limit === 'lag' ? this.#maxLag.toSeconds() : limit,
      comparisonOperator: isAbove
        ? ComparisonOperator.GREATER_THAN_THRESHOLD
        : ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods: of5 === undefined ? 1 : 5,
      datapointsToAlarm: of5 ?? 1,
      treatMissingData: MISSING[missing],
    });
  }

  #composite(pages: readonly AlarmSpec[]): CompositeAlarm {
    const { group } = this.#place.config;
    return new CompositeAlarm(this, UNSAFE.name, {
      compositeAlarmName: alarmName(group, UNSAFE.name),
      alarmDescription: describeAlarm(UNSAFE),
      alarmRule: AlarmRule.fromString(
        pages.map(({ name }) => `ALARM("${alarmName(group, name)}")`).join(' OR '),
      ),
    });
  }

  #watched({ metric }: AlarmSpec) {
    const { config, region } = this.#place;
    const { name: metricName } = metric;
    switch (metric.of) {
      case 'region':
        return { namespace: 'Understudy', metricName, dimensionsMap: { group: config.group, region } };
      case 'function':
        return {
          namespace: 'AWS/Lambda',
          metricName,
          dimensionsMap: { FunctionName: resourceName(config.group, metric.fn) },
        };
      case 'failure-queue':
      case 'drill-queue':
        return {
          namespace: 'AWS/SQS',
          metricName,
          dimensionsMap: { QueueName: resourceName(config.group, QUEUES[metric.of]) },
        };
      case 'workflow':
        return {
          namespace: 'AWS/States',
          metricName,
          dimensionsMap: { StateMachineArn: workflowArn(this, this.#place) },
        };
    }
  }

  #topic(id: string, name: string | undefined): ITopic | undefined {
    if (name === undefined) return undefined;
    return Topic.fromTopicArn(this, id, Stack.of(this).formatArn({ service: 'sns', resource: name }));
  }
}

function notify(alarms: readonly AlarmBase[], topic: ITopic | undefined): void {
  if (topic === undefined) return;
  for (const alarm of alarms) {
    alarm.addAlarmAction(new SnsAction(topic));
    alarm.addOkAction(new SnsAction(topic));
  }
}
