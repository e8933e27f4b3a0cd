import { Duration, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Alarms } from '#lib/constructs/alarms.ts';
import type { DrillPlan } from '#lib/constructs/check-drill.ts';
import type { StorePlan } from '#lib/constructs/check-group.ts';
import { ControlStore } from '#lib/constructs/control-store.ts';
import { Dashboard } from '#lib/constructs/dashboard.ts';
import { DataStore } from '#lib/constructs/data-store.ts';
import { DatabaseStore } from '#lib/constructs/database-store.ts';
import { DeployCheck } from '#lib/constructs/deploy-check.ts';
import { DrillSchedule } from '#lib/constructs/drill-schedule.ts';
import { STEP_TIMEOUT } from '#lib/constructs/failover-states.ts';
import { FailoverWorkflow } from '#lib/constructs/failover-workflow.ts';
import { FailureQueue } from '#lib/constructs/failure-queue.ts';
import { type CodeOf, Handler } from '#lib/constructs/handler.ts';
import { LeaderCheck } from '#lib/constructs/leader-check.ts';
import { LogStore } from '#lib/constructs/log-store.ts';
import { type FunctionName, resourceName } from '#lib/constructs/names.ts';
import { environmentOf, type Place } from '#lib/constructs/place.ts';
import { settingsOf } from '#lib/constructs/settings.ts';
import { grantFence } from '#lib/constructs/table-fence.ts';
import { Tick } from '#lib/constructs/tick.ts';
import type { FailoverConfig } from '#lib/domain/control/failover-config.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';
import type { RetentionPolicy } from '#lib/domain/retention.ts';

export type RegionStackProps = Place & {
  readonly failover: FailoverConfig;
  /** How far back the log reaches. */
  readonly retention: RetentionPolicy;
  /** The stores of the group, beyond what every function is told of them. */
  readonly store: StorePlan;
  /** Name of an SNS topic, one in every Region, that alarms go to. */
  readonly alarmTopic?: string | undefined;
  /** Name of another, for what is to be paged on; `alarmTopic` if there is none. */
  readonly pageTopic?: string | undefined;
  /** When drills take place; never if absent. */
  readonly drill?: DrillPlan | undefined;
  /** Whether there is a dashboard. */
  readonly dashboard: boolean;
  readonly code: CodeOf;
};

/**
 * How long an invocation of capture may read a slot: into the next one's, which waits its turn, so that changes are read as
 * they commit, without a break each minute.
 */
const RESIDENT = Duration.seconds(75);

/** The Region of a replica: the same in each, whoever leads, so that a failover changes no template. */
export class RegionStack extends Stack {
  readonly check: DeployCheck;
  readonly log: LogStore;
  readonly control: ControlStore;
  /** The way to the databases, where the group replicates some. */
  readonly databases: DatabaseStore | undefined;
  readonly failures: FailureQueue;
  readonly handlers: Readonly<Record<Exclude<FunctionName, 'probe'>, Handler>> & { readonly probe?: Handler };
  readonly workflow: FailoverWorkflow;
  readonly alarms: Alarms;
  readonly #table: DataStore | undefined;

  constructor(
    scope: Construct,
    {
      failover: rules,
      store: plan,
      retention: policy,
      alarmTopic,
      pageTopic,
      dashboard,
      drill,
      code,
      ...place
    }: RegionStackProps,
  ) {
    super(scope, place.region, {
      stackName: resourceName(place.config.group, place.region),
      env: environmentOf(place),
      description: `Understudy: replication of group ${place.config.group} in ${place.region}`,
    });
    const settings = { ...settingsOf(place), failover: rules };
    const existing = plan.kind === 'dynamodb' && plan.existing;
    this.check = new DeployCheck(this, 'DeployCheck', {
      place,
      settings,
      record: rules.record,
      existing,
      code,
    });
    this.log = new LogStore(this, 'Log', place);
    this.control = new ControlStore(this, 'Control', place);
    const { engine } = place.config;
    const tables = engine.kind === 'dynamodb' ? { ...place, config: { ...place.config, engine } } : undefined;
    this.#table = tables && new DataStore(this, 'Store', tables, existing ? this.check : undefined);
    this.databases =
      plan.kind === 'postgres'
        ? new DatabaseStore(this, 'Databases', place, plan, rules.record !== undefined)
        : undefined;
    this.failures = new FailureQueue(this, 'Failures', place);
    const { log, control, failures, databases } = this;
    control.grantSurvey(this.check.handler);

    const handler = (name: FunctionName, memorySize: number, timeout: Duration) =>
      new Handler(this, name, {
        place,
        name,
        memorySize,
        timeout,
        settings,
        code,
        network: name === 'relay' ? undefined : databases?.network,
      });
    const capture = handler('capture', 1024, databases ? RESIDENT : Duration.seconds(60));
    const relay = handler('relay', 1024, Duration.seconds(300));
    const apply = handler('apply', 1024, Duration.seconds(300));
    // A database is taken back in by the sentinel, with what diverged in memory.
    const sentinel = handler('sentinel', databases ? 512 : 256, Duration.seconds(90));
    const failover = handler('failover', 1024, STEP_TIMEOUT);
    const retention = handler('retention', 512, Duration.minutes(15));
    const probe = tables && handler('probe', 256, Duration.seconds(10));
    this.handlers = { capture, relay, apply, sentinel, failover, retention, ...(probe && { probe }) };

    log.grantAppend(capture);
    control.grantCapture(capture);
    failures.grantSend(capture);
    this.#table?.feed(capture, {
      // It is what makes Lambda name the shard in the event; capture keeps a mark per shard. Nothing is summed up.
      window: Duration.seconds(900),
      onFailure: failures.destination(),
    });
    databases?.grantHere(capture);

    log.grantRelay(relay);
    control.grantRead(relay);
    log.feed(relay);

    log.grantApply(apply);
    control.grantApply(apply);
    this.#table?.grantApply(apply);
    databases?.grantEverywhere(apply);
    log.feed(apply);

    log.grantWatch(sentinel);
    control.grantWatch(sentinel);
    this.#table?.grantWatch(sentinel);
    databases?.grantEverywhere(sentinel);
    if (databases) grantCaptureNow(sentinel, capture, resourceName(place.config.group, 'capture'));

    log.grantFailover(failover);
    control.grantFailover(failover);
    this.#table?.grantFailover(failover);
    databases?.grantEverywhere(failover);
    const { record } = rules;
    if (record?.flip === 'data-plane') {
      const target = rules.targets[place.region]!;
      const leaderCheck = new LeaderCheck(this, 'LeaderCheck', { place, settings, record, target, code });
      control.grantLook(leaderCheck.handler);
    } else if (record !== undefined) grantRepoint(this, record.zoneId, { failover, sentinel });
    if (tables && probe) grantFence(this, tables, { sentinel, failover, probe });
    const hooks = Object.values(rules.hostFence?.functions ?? {});
    if (hooks.length > 0) failover.allow(['lambda:InvokeFunction'], hooks);
    this.workflow = new FailoverWorkflow(this, 'Workflow', place, failover);
    this.workflow.grantStart(sentinel);

    log.grantRetain(retention);
    control.grantReadEverywhere(retention);
    databases?.grantEverywhere(retention);
    retention.tell({ retention: policy });

    // What makes up for a hint that was lost.
    new Tick(this, 'Tick', place, { name: 'tick', every: Duration.minutes(1) }, [
      relay,
      apply,
      sentinel,
      // Of databases, the changes wait in a slot for whoever fetches them.
      ...(databases ? [capture] : []),
    ]);
    new Tick(this, 'Daily', place, { name: 'daily', every: Duration.days(1) }, [retention]);
    const maxLag = Duration.millis(PROFILES[rules.profile].maxLagMs);
    this.alarms = new Alarms(this, 'Alarms', {
      place,
      maxLag,
      topicName: alarmTopic,
      pageTopicName: pageTopic,
      drills: drill !== undefined,
    });
    this.alarms.grantReadLag(failover);
    if (drill !== undefined) {
      const { handler: rehearsal } = new DrillSchedule(this, 'Drill', {
        place,
        settings,
        drill,
        code,
        network: databases?.network,
      });
      databases?.grantEverywhere(rehearsal);
      log.grantDrill(rehearsal, drill.keep);
      control.grantDrill(rehearsal);
      this.workflow.grantDrill(rehearsal);
      this.alarms.grantReadLag(rehearsal);
    }
    if (dashboard) new Dashboard(this, 'Dashboard', { place, maxLag });
    this.check.comeFirst();
  }

  /** The table of this Region. Throws CONFIG_INVALID in a group of databases. */
  get store(): DataStore {
    if (this.#table !== undefined) return this.#table;
    throw new UnderstudyError(
      'CONFIG_INVALID',
      'a group of databases makes no table',
      'See databases in place of store.',
    );
  }
}

/** Having capture run as soon as this Region leads. */
function grantCaptureNow(sentinel: Handler, capture: Handler, captureFunction: string): void {
  sentinel.allow(['lambda:InvokeFunction'], [capture.fn.functionArn]);
  sentinel.tell({ captureFunction });
}

/** Changing the clients' record; a failover sees the change through, a leader looks again. */
function grantRepoint(
  scope: Stack,
  zoneId: string,
  { failover, sentinel }: { readonly failover: Handler; readonly sentinel: Handler },
): void {
  const arn = (resource: string, resourceName: string) =>
    scope.formatArn({ service: 'route53', region: '', account: '', resource, resourceName });
  for (const each of [failover, sentinel]) {
    each.allow(
      ['route53:ListResourceRecordSets', 'route53:ChangeResourceRecordSets'],
      [arn('hostedzone', zoneId)],
    );
  }
  failover.allow(['route53:GetChange'], [arn('change', '*')], 'The id of a change is not known before.');
}
