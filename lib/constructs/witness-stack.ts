import { Duration, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Alarms } from '#lib/constructs/alarms.ts';
import type { StorePlan } from '#lib/constructs/check-group.ts';
import { ControlStore } from '#lib/constructs/control-store.ts';
import { DatabaseStore } from '#lib/constructs/database-store.ts';
import { DeployCheck } from '#lib/constructs/deploy-check.ts';
import { type CodeOf, Handler } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import { environmentOf, type Place, tableArns } from '#lib/constructs/place.ts';
import { settingsOf } from '#lib/constructs/settings.ts';
import { Tick } from '#lib/constructs/tick.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';

export type WitnessStackProps = Place & {
  readonly failover: FailoverConfig;
  readonly store: StorePlan;
  readonly alarmTopic?: string | undefined;
  readonly pageTopic?: string | undefined;
  readonly code: CodeOf;
};

/** A Region that votes and holds no data: a control table, and the sentinel that watches the leader. */
export class WitnessStack extends Stack {
  readonly check: DeployCheck;
  readonly control: ControlStore;
  readonly sentinel: Handler;
  readonly alarms: Alarms;
  /** The way to the databases, where the group replicates some. */
  readonly databases: DatabaseStore | undefined;

  constructor(
    scope: Construct,
    { failover, store: plan, alarmTopic, pageTopic, code, ...place }: WitnessStackProps,
  ) {
    super(scope, place.region, {
      stackName: resourceName(place.config.group, place.region),
      env: environmentOf(place),
      description: `Understudy: witness of group ${place.config.group} in ${place.region}`,
    });
    const settings = { ...settingsOf(place), failover };
    const { record } = failover;
    this.check = new DeployCheck(this, 'DeployCheck', { place, settings, record, existing: false, code });
    const control = new ControlStore(this, 'Control', place);
    control.grantSurvey(this.check.handler);
    this.control = control;
    this.databases =
      plan.kind === 'postgres' ? new DatabaseStore(this, 'Databases', place, plan, false) : undefined;
    const sentinel = new Handler(this, 'sentinel', {
      place,
      name: 'sentinel',
      memorySize: 256,
      timeout: Duration.seconds(90),
      settings,
      code,
      network: this.databases?.network,
    });
    this.sentinel = sentinel;
    control.grantVote(sentinel);
    // Whether a leader's store takes a write is what a vote is about.
    this.databases?.grantEverywhere(sentinel);
    const { engine } = place.config;
    if (engine.kind === 'dynamodb')
      sentinel.allow(['dynamodb:PutItem'], tableArns(this, place, engine.table));
    new Tick(this, 'Tick', place, { name: 'tick', every: Duration.minutes(1) }, [sentinel]);
    this.alarms = new Alarms(this, 'Alarms', {
      place,
      maxLag: Duration.millis(PROFILES[failover.profile].maxLagMs),
      topicName: alarmTopic,
      pageTopicName: pageTopic,
    });
    this.check.comeFirst();
  }
}
