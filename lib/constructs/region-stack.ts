import { Duration, Stack } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import { Alarms } from '#lib/constructs/alarms.ts';
import { ControlStore } from '#lib/constructs/control-store.ts';
import { DataStore } from '#lib/constructs/data-store.ts';
import { FailureQueue } from '#lib/constructs/failure-queue.ts';
import { type CodeOf, Handler } from '#lib/constructs/handler.ts';
import { handlerCode } from '#lib/constructs/handler-code.ts';
import { LogStore } from '#lib/constructs/log-store.ts';
import { MinuteTick } from '#lib/constructs/minute-tick.ts';
import { bucketName, type FunctionName, resourceName, tableNames } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

type RegionStackProps = Place & {
  /** Name of an SNS topic, one in every Region, that alarms go to. */
  readonly alarmTopic?: string | undefined;
  /** Bundled from `functions/` if not given. */
  readonly code?: CodeOf;
};

/** A Region of a group: the same in each, whoever leads, so that a failover changes no template. */
export class RegionStack extends Stack {
  constructor(scope: Construct, { alarmTopic, code = handlerCode, ...place }: RegionStackProps) {
    super(scope, resourceName(place.config.group, place.region), {
      env: { account: place.account, region: place.region },
      description: `Understudy: replication of group ${place.config.group} in ${place.region}`,
    });
    const log = new LogStore(this, 'Log', place);
    const control = new ControlStore(this, 'Control', place);
    const store = new DataStore(this, 'Store', place);
    const failures = new FailureQueue(this, 'Failures', place);

    const settings = settingsOf(place, failures);
    const handler = (name: FunctionName, memorySize: number, timeout: Duration) =>
      new Handler(this, name, { place, name, memorySize, timeout, settings, code });
    const capture = handler('capture', 1024, Duration.seconds(60));
    const relay = handler('relay', 1024, Duration.seconds(300));
    const apply = handler('apply', 1024, Duration.seconds(300));
    const sentinel = handler('sentinel', 256, Duration.seconds(30));

    log.grantAppend(capture);
    control.grantRead(capture);
    failures.grantSend(capture);
    store.feed(capture, {
      // It is what makes Lambda name the shard in the event; capture keeps a mark per shard. Nothing is summed up.
      window: Duration.seconds(900),
      onFailure: failures.destination(),
    });

    log.grantRelay(relay);
    control.grantRead(relay);
    log.feed(relay);

    log.grantApply(apply);
    control.grantApply(apply);
    store.grantApply(apply);
    log.feed(apply);

    log.grantWatch(sentinel);
    control.grantWatch(sentinel);
    store.grantBeat(sentinel);

    new MinuteTick(this, 'Tick', place, [relay, apply, sentinel]);
    new Alarms(this, 'Alarms', {
      place,
      handlers: { capture, relay, apply, sentinel },
      failures: failures.queue,
      topicName: alarmTopic,
    });
  }
}

/** What every function knows of its group and Region, as `readConfig` of lib/aws/config.ts takes it. */
function settingsOf({ config, region, account }: Place, failures: FailureQueue): object {
  const { log, control } = tableNames(config.group);
  return {
    group: config.group,
    region,
    table: config.table,
    key: config.key,
    regions: config.regions.map((each) => ({
      ...each,
      bucket: bucketName(config.group, account, each.name),
    })),
    logTable: log,
    controlTable: control,
    failureQueueUrl: failures.queue.queueUrl,
  };
}
