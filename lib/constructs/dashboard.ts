import { ArnFormat, type Duration, Stack } from 'aws-cdk-lib';
import {
  Alarm,
  AlarmStatusWidget,
  Dashboard as CloudWatchDashboard,
  GraphWidget,
  type IWidget,
  MathExpression,
  Metric,
  SingleValueWidget,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import { Construct } from 'constructs';
import { UNSAFE } from '#lib/constructs/alarm-specs.ts';
import { resourceName, tableNames, workflowName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';
import { alarmName } from '#lib/domain/alarms.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import type { MetricName } from '#lib/domain/metrics.ts';

type DashboardProps = {
  readonly place: Place;
  /** The lag above which a replica is no candidate. */
  readonly maxLag: Duration;
};

const WIDTH = 24;

/**
 * What an operator looks at first: whether the group is safe now, then why not. The same in every Region, so that one
 * is left whichever Region is lost; dashboards are global, so each has its Region in its name.
 */
export class Dashboard extends Construct {
  readonly #place: Place;
  /** The own Region first. */
  readonly #replicas: readonly RegionId[];
  readonly #witnesses: readonly RegionId[];

  constructor(scope: Construct, id: string, { place, maxLag }: DashboardProps) {
    super(scope, id);
    const { config, region } = place;
    this.#place = place;
    const others = config.regions.map(({ name }) => name).filter((name) => name !== region);
    this.#replicas = [region, ...others];
    this.#witnesses = config.witnesses;
    const limit = { value: maxLag.toSeconds(), label: 'no candidate above' };
    new CloudWatchDashboard(this, 'Dashboard', {
      dashboardName: resourceName(config.group, region),
      widgets: [
        [this.#title()],
        [
          this.#alarms(6),
          this.#values(6, 'What would be lost now: seconds, records', 'RpoSeconds', 'RpoRecords'),
          this.#values(6, 'Lease left, %', 'LeaseLeftPercent'),
          this.#values(3, 'Candidates', 'Candidates'),
          this.#values(3, 'Epoch, leads', 'Epoch', 'Leads'),
        ],
        [
          this.#graph(12, 'Applied lag, seconds', [limit], 'AppliedLagSeconds'),
          this.#graph(12, 'Durable lag, seconds', [limit], 'DurableLagSeconds'),
        ],
        [
          this.#graph(12, 'Lag, records', [], 'AppliedLagRecords', 'DurableLagRecords'),
          this.#graph(12, 'Lag, bytes', [], 'AppliedLagBytes', 'DurableLagBytes'),
        ],
        [
          this.#graph(8, 'Age of what is captured, seconds', [], 'CaptureAgeSeconds'),
          this.#graph(8, 'Leadership at risk', [], 'BeatsRefused', 'CanariesLate', 'VotesInForce'),
          this.#graph(4, 'Held back at the source, bytes', [], 'SlotRetainedBytes'),
          this.#graph(4, 'Witness', [], 'WitnessUp'),
        ],
        [
          this.#graph(
            12,
            'To be looked at',
            [],
            'Divergences',
            'BehindRetention',
            'RejectedRecords',
            'LocalWritesAtFollower',
            ...(config.engine.kind === 'postgres' ? (['SlotsLost'] as const) : []),
          ),
          this.#runs(12),
        ],
        [this.#commits(12), ...this.#writes(12)],
      ],
    });
  }

  #title(): IWidget {
    const { group } = this.#place.config;
    return new TextWidget({
      width: WIDTH,
      height: 2,
      markdown: [
        `# ${group}: am I safe now?`,
        'Yes, if no alarm is on, somebody leads, and there is a candidate. If not: `understudy status` says what to do next,',
        'docs/RUNBOOK.md#alarm-unsafe how. A value that is missing is not known; it is not 0.',
      ].join('\n'),
    });
  }

  #alarms(width: number): IWidget {
    const alarms = [...this.#replicas, ...this.#witnesses].map((region) =>
      Alarm.fromAlarmArn(
        this,
        `Unsafe ${region}`,
        Stack.of(this).formatArn({
          service: 'cloudwatch',
          region,
          resource: 'alarm',
          resourceName: alarmName(this.#place.config.group, UNSAFE.name),
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        }),
      ),
    );
    return new AlarmStatusWidget({ title: 'Unsafe', width, height: 4, alarms });
  }

  /** The newest value of some figures: only the leader's are there. */
  #values(width: number, title: string, ...names: readonly MetricName[]): IWidget {
    return new SingleValueWidget({ title, width, height: 4, metrics: this.#figures(names) });
  }

  #graph(
    width: number,
    title: string,
    leftAnnotations: { value: number; label: string }[],
    ...names: readonly MetricName[]
  ): IWidget {
    return new GraphWidget({ title, width, height: 6, left: this.#figures(names), leftAnnotations });
  }

  #figures(names: readonly MetricName[]): Metric[] {
    return names.flatMap((metricName) => {
      const regions = metricName === 'WitnessUp' ? this.#witnesses : [...this.#replicas, ...this.#witnesses];
      return regions.map((region) =>
        this.#metric(region, {
          namespace: 'Understudy',
          metricName,
          dimensionsMap: { group: this.#place.config.group, region },
          statistic: metricName === 'LeaseLeftPercent' ? 'Minimum' : 'Maximum',
          label: names.length > 1 ? `${region} ${metricName}` : region,
        }),
      );
    });
  }

  /** Failovers, switchovers and drills that were begun, and those that failed, by where they ran. */
  #runs(width: number): IWidget {
    const { group } = this.#place.config;
    const left = ['ExecutionsStarted', 'ExecutionsFailed'].flatMap((metricName) =>
      this.#replicas.map((region) => {
        const StateMachineArn = Stack.of(this).formatArn({
          service: 'states',
          region,
          resource: 'stateMachine',
          resourceName: workflowName(group),
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        });
        return this.#metric(region, {
          namespace: 'AWS/States',
          metricName,
          dimensionsMap: { StateMachineArn },
          statistic: 'Sum',
          label: `${region} ${metricName.replace('Executions', '').toLowerCase()}`,
        });
      }),
    );
    return new GraphWidget({ title: 'Runs of the failover workflow', width, height: 6, left });
  }

  /** Each commit is a PUT of a segment and a transaction: it is what a group's bill grows with. */
  #commits(width: number): IWidget {
    const left = this.#replicas.map((region, index) => {
      const id = `commits${index}`;
      const commits = this.#metric(region, {
        namespace: 'AWS/DynamoDB',
        metricName: 'SuccessfulRequestLatency',
        dimensionsMap: {
          TableName: tableNames(this.#place.config.group).log,
          Operation: 'TransactWriteItems',
        },
        statistic: 'SampleCount',
      });
      return new MathExpression({
        expression: `${id} / PERIOD(${id})`,
        usingMetrics: { [id]: commits },
        label: region,
        searchRegion: region,
      });
    });
    return new GraphWidget({ title: 'Commits to the log, a second', width, height: 6, left });
  }

  /** What the group's own figures do not tell of its tables. */
  #writes(width: number): IWidget[] {
    const { engine } = this.#place.config;
    if (engine.kind !== 'dynamodb') return [];
    const left = this.#replicas.map((region) =>
      this.#metric(region, {
        namespace: 'AWS/DynamoDB',
        metricName: 'ConsumedWriteCapacityUnits',
        dimensionsMap: { TableName: engine.table },
        statistic: 'Sum',
        label: region,
      }),
    );
    return [new GraphWidget({ title: 'Write units of the table', width, height: 6, left })];
  }

  #metric(region: RegionId, props: ConstructorParameters<typeof Metric>[0]): Metric {
    return new Metric({ ...props, region });
  }
}
