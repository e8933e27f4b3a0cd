import { Duration, Stack } from 'aws-cdk-lib';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnSchedule, CfnScheduleGroup } from 'aws-cdk-lib/aws-scheduler';
import { Construct } from 'constructs';
import type { DrillPlan } from '#lib/constructs/check-drill.ts';
import { FailureQueue } from '#lib/constructs/failure-queue.ts';
import { grantGroupKeys } from '#lib/constructs/group-key.ts';
import { type CodeOf, Handler, type HandlerNetwork, type HandlerSettings } from '#lib/constructs/handler.ts';
import { resourceName } from '#lib/constructs/names.ts';
import type { Place } from '#lib/constructs/place.ts';

/** A switchover takes seconds; between the two, the former leader has to follow. */
const TIMEOUT = Duration.minutes(15);
/** A drill that is this late is none: nobody expects it any more. */
const LATE = Duration.minutes(10);

type DrillScheduleProps = {
  readonly place: Place;
  readonly settings: HandlerSettings;
  readonly drill: DrillPlan;
  readonly code: CodeOf;
  readonly network?: HandlerNetwork | undefined;
};

/**
 * Drills at stated times: the schedule invokes the same function in every Region, and the one that leads has the drill. It
 * is tried once. Whatever keeps it from passing (no invocation, no end, a report of a failure) ends in a queue of its own.
 */
export class DrillSchedule extends Construct {
  readonly handler: Handler;

  constructor(scope: Construct, id: string, { place, settings, drill, code, network }: DrillScheduleProps) {
    super(scope, id);
    const { group } = place.config;
    const stack = Stack.of(this);
    this.handler = new Handler(this, 'drill', {
      place,
      name: 'drill',
      memorySize: 256,
      timeout: TIMEOUT,
      settings: { ...settings, drill: { approvedBy: drill.approvedBy } },
      code,
      network,
    });
    const { fn } = this.handler;
    const failures = new FailureQueue(this, 'Failures', place, 'drill-failures');
    const { queueArn } = failures.queue;
    this.handler.allow(['sqs:SendMessage'], [queueArn]);
    fn.configureAsyncInvoke({
      retryAttempts: 0,
      maxEventAge: LATE,
      onFailure: { bind: () => ({ destination: queueArn }) },
    });

    const name = resourceName(group, 'drill');
    const schedules = new CfnScheduleGroup(this, 'Group', { name });
    const role = new Role(this, 'Role', {
      // Only for schedules of this group: the scheduler has no finer condition.
      assumedBy: new ServicePrincipal('scheduler.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': place.account },
          ArnEquals: {
            'aws:SourceArn': stack.formatArn({
              service: 'scheduler',
              resource: 'schedule-group',
              resourceName: name,
            }),
          },
        },
      }),
    });
    role.addToPolicy(
      new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [fn.functionArn] }),
    );
    role.addToPolicy(new PolicyStatement({ actions: ['sqs:SendMessage'], resources: [queueArn] }));
    if (place.encryption === 'customer') grantGroupKeys(role, place);
    const schedule = new CfnSchedule(this, 'Schedule', {
      name,
      groupName: name,
      description: `Understudy: drills of group ${group}, approved by ${drill.approvedBy}`.slice(0, 512),
      scheduleExpression: drill.schedule,
      scheduleExpressionTimezone: drill.timezone,
      flexibleTimeWindow: { mode: 'OFF' },
      target: {
        arn: fn.functionArn,
        roleArn: role.roleArn,
        input: JSON.stringify({ kind: 'drill', due: '<aws.scheduler.scheduled-time>' }),
        deadLetterConfig: { arn: queueArn },
        retryPolicy: { maximumEventAgeInSeconds: LATE.toSeconds(), maximumRetryAttempts: 2 },
      },
    });
    schedule.addResourceDependency(schedules);
    schedule.node.addDependency(role);
  }
}
