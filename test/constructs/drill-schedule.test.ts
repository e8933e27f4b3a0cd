import { Duration } from 'aws-cdk-lib';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, expect, it } from 'vitest';
import { Engine } from '#lib/constructs/engine.ts';
import type { DrillProps, ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { ACCOUNT, CODE, permissionsOf, settingsOf, testApp } from './stacks.ts';

const DRILL: DrillProps = {
  schedule: 'cron(0 10 ? * TUE#1 *)',
  timezone: 'Europe/Berlin',
  approvedBy: 'platform team',
};
const REGIONS = ['eu-west-1', 'us-east-1'] as const;
const CONTROL = ['eu-central-1', ...REGIONS].map((region) => `${region} understudy-orders-control`);

function made(changes: Partial<ReplicationGroupProps> = {}) {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: REGIONS,
    witness: 'eu-central-1',
    engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
    account: ACCOUNT,
    code: CODE,
    drill: DRILL,
    ...changes,
  });
  return { app, templates: templates(group) };
}

let plain: ReturnType<typeof made>;
let replicas: readonly Template[];
beforeAll(() => {
  plain = made();
  replicas = plain.templates.slice(0, REGIONS.length);
});

it('is told of in every replica, in the time zone that was asked for, with when it was due', () => {
  const attribute = (id: string) => ({ 'Fn::GetAtt': [Match.stringLikeRegexp(id), 'Arn'] });
  for (const template of replicas) {
    template.hasResourceProperties('AWS::Scheduler::Schedule', {
      Name: 'understudy-orders-drill',
      GroupName: 'understudy-orders-drill',
      ScheduleExpression: DRILL.schedule,
      ScheduleExpressionTimezone: DRILL.timezone,
      FlexibleTimeWindow: { Mode: 'OFF' },
      Target: {
        Arn: attribute('^Drilldrill'),
        RoleArn: attribute('^DrillRole'),
        Input: '{"kind":"drill","due":"<aws.scheduler.scheduled-time>"}',
        DeadLetterConfig: { Arn: attribute('^DrillFailuresQueue') },
      },
    });
    expect(JSON.parse(settingsOf(template, 'understudy-orders-drill')).drill).toEqual({
      approvedBy: DRILL.approvedBy,
    });
  }
  plain.templates[2]!.resourceCountIs('AWS::Scheduler::Schedule', 0);
});

it('is invoked by a role that may do this and report that it could not, for schedules of this group alone', () => {
  for (const [index, template] of replicas.entries()) {
    const region = REGIONS[index]!;
    template.hasResourceProperties('AWS::IAM::Role', {
      AssumeRolePolicyDocument: {
        Statement: [
          {
            Principal: { Service: 'scheduler.amazonaws.com' },
            Condition: {
              StringEquals: { 'aws:SourceAccount': ACCOUNT },
              ArnEquals: {
                'aws:SourceArn': `arn:aws:scheduler:${region}:${ACCOUNT}:schedule-group/understudy-orders-drill`,
              },
            },
          },
        ],
      },
    });
    // `DrillRole` is the scheduler's, `DrilldrillRole` the function's.
    expect(permissionsOf(template, 'Drill')).toEqual({
      'lambda:InvokeFunction': ['DrilldrillFunction.Arn'],
      'sqs:SendMessage': ['DrillFailuresQueue.Arn'],
    });
  }
});

it('may look at the group, start its workflows, and write evidence and refusals here; nothing else', () => {
  for (const [index, template] of replicas.entries()) {
    const region = REGIONS[index]!;
    const {
      'xray:PutTraceSegments': _,
      'xray:PutTelemetryRecords': __,
      ...may
    } = permissionsOf(template, 'Drilldrill');
    const lagAlarms = REGIONS.flatMap((at) =>
      ['applied-lag', 'durable-lag'].map((name) => `${at} understudy-orders-${name}`),
    );
    expect(may).toEqual({
      'logs:CreateLogStream': ['DrilldrillLogs.Arn'],
      'logs:PutLogEvents': ['DrilldrillLogs.Arn'],
      'cloudwatch:DescribeAlarms': lagAlarms,
      'dynamodb:GetItem': [...CONTROL, ...REGIONS.map((at) => `${at} understudy-orders-log`)].sort(),
      'dynamodb:UpdateItem': [`${region} understudy-orders-control`],
      's3:PutObject': [`understudy-orders-${ACCOUNT}-${region}/_drills/orders/*`],
      'sqs:SendMessage': ['DrillFailuresQueue.Arn'],
      'states:DescribeExecution': REGIONS.map((at) => `${at} understudy-orders-failover:orders-*-drill`),
      'states:StartExecution': REGIONS.map((at) => `${at} understudy-orders-failover`),
    });
  }
});

it('is tried once, and what keeps it from passing is in a queue that has an alarm', () => {
  for (const template of replicas) {
    const queue = { 'Fn::GetAtt': [Match.stringLikeRegexp('^DrillFailuresQueue'), 'Arn'] };
    template.hasResourceProperties('AWS::Lambda::EventInvokeConfig', {
      FunctionName: { Ref: Match.stringLikeRegexp('^Drilldrill') },
      MaximumRetryAttempts: 0,
      DestinationConfig: { OnFailure: { Destination: queue } },
    });
    template.hasResourceProperties('AWS::CloudWatch::Alarm', {
      AlarmName: 'understudy-orders-drill-failed',
      AlarmDescription: Match.stringLikeRegexp('^\\[ticket\\] .*docs/RUNBOOK\\.md#drill_failed$'),
      Namespace: 'AWS/SQS',
      MetricName: 'ApproximateNumberOfMessagesVisible',
      Dimensions: [{ Name: 'QueueName', Value: 'understudy-orders-drill-failures' }],
      Threshold: 0,
      EvaluationPeriods: 1,
    });
  }
});

it.each([
  [undefined, 400],
  [Duration.days(90), 90],
])('keeps the evidence for as long as it is told to: %s', (keep, days) => {
  const { templates } = made({ drill: { ...DRILL, ...(keep && { keep }) } });
  templates[0]!.hasResourceProperties('AWS::S3::Bucket', {
    LifecycleConfiguration: {
      Rules: [{ Id: 'Drills', Prefix: '_drills/orders/', ExpirationInDays: days, Status: 'Enabled' }],
    },
  });
});

it('leaves no finding of the AWS Solutions checks, nor does it with keys of the account', () => {
  for (const { app } of [plain, made({ encryption: 'customer' })]) {
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  }
});

it('is not there unless it is asked for', () => {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: REGIONS,
    witness: 'eu-central-1',
    engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
    account: ACCOUNT,
    code: CODE,
  });
  for (const template of templates(group)) {
    template.resourceCountIs('AWS::Scheduler::Schedule', 0);
    expect(JSON.stringify(template.toJSON())).not.toContain('understudy-orders-drill');
  }
});

it.each([
  [{ schedule: 'rate(7 days)' }, 'drill.schedule: "rate(7 days)" is not a cron'],
  [{ schedule: 'cron(0 10 * * TUE *)' }, 'drill.schedule'],
  [{ schedule: 'cron(0 10 ? * TUE)' }, 'drill.schedule'],
  [{ timezone: 'Europe/Atlantis' }, 'drill.timezone: "Europe/Atlantis" is not a time zone'],
  [{ timezone: '+01:00' }, 'drill.timezone'],
  [{ approvedBy: ' ' }, 'drill.approvedBy: nobody is named'],
  [{ keep: Duration.hours(36) }, 'drill.keep: S3 keeps for whole days'],
])('refuses %j by the name of the prop', (wrong, message) => {
  expect(() => made({ drill: { ...DRILL, ...wrong } })).toThrow(message);
});
