import { readFile } from 'node:fs/promises';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, it } from 'vitest';
import { ALARMS, alarmsIn, UNSAFE } from '#lib/constructs/alarm-specs.ts';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import { METRICS } from '#lib/domain/metrics.ts';
import { ACCOUNT, appOf, fileOf } from './stacks.ts';

const ALARM = 'AWS::CloudWatch::Alarm';
const COMPOSITE = 'AWS::CloudWatch::CompositeAlarm';
const OF_5 = { Period: 60, EvaluationPeriods: 5, DatapointsToAlarm: 3 };

let eu: Template;
beforeAll(() => {
  eu = appOf(fileOf()).templates[0]!;
});

/** What CloudFormation makes of the alarm of this name. */
function alarm(name: string): Record<string, unknown> {
  const AlarmName = `understudy-orders-${name}`;
  const [found] = Object.values(eu.findResources(ALARM, { Properties: { AlarmName } }));
  return found!.Properties;
}

describe('the alarms of a Region', () => {
  it.each([
    ['applied-lag', 'AppliedLagSeconds'],
    ['durable-lag', 'DurableLagSeconds'],
  ])('take a missing %s for a breach, and one at which no replica is promoted', (name, MetricName) => {
    expect(alarm(name)).toMatchObject({
      ...OF_5,
      Namespace: 'Understudy',
      MetricName,
      Dimensions: [
        { Name: 'group', Value: 'orders' },
        { Name: 'region', Value: 'eu-west-1' },
      ],
      Statistic: 'Maximum',
      // Of the profile `balanced`.
      Threshold: 120,
      ComparisonOperator: 'GreaterThanThreshold',
      TreatMissingData: 'breaching',
    });
  });

  it('take a capture that is a minute old, or that nobody hears of, for a breach', () => {
    expect(alarm('capture-age')).toMatchObject({
      ...OF_5,
      Namespace: 'AWS/Lambda',
      MetricName: 'IteratorAge',
      Dimensions: [{ Name: 'FunctionName', Value: 'understudy-orders-capture' }],
      Statistic: 'Maximum',
      Threshold: 60_000,
      TreatMissingData: 'breaching',
    });
  });

  it('watch the lease and the candidates from below', () => {
    const below = { ...OF_5, ComparisonOperator: 'LessThanThreshold', TreatMissingData: 'notBreaching' };
    expect(alarm('lease-at-risk')).toMatchObject({ ...below, MetricName: 'LeaseLeftPercent', Threshold: 40 });
    expect(alarm('no-candidate')).toMatchObject({ ...below, MetricName: 'Candidates', Threshold: 1 });
  });

  it('watch the runs of the workflow that is here', () => {
    expect(alarm('run-failed')).toMatchObject({
      Namespace: 'AWS/States',
      MetricName: 'ExecutionsFailed',
      Dimensions: [
        {
          Name: 'StateMachineArn',
          Value: `arn:aws:states:eu-west-1:${ACCOUNT}:stateMachine:understudy-orders-failover`,
        },
      ],
      Threshold: 0,
      EvaluationPeriods: 1,
    });
  });

  it.each(FUNCTIONS)('watch the errors of %s, and take none for none', (name) => {
    expect(alarm(`${name}-errors`)).toMatchObject({
      // What runs once a day fails once in five minutes at most.
      ...(name === 'retention' ? { EvaluationPeriods: 1, DatapointsToAlarm: 1 } : OF_5),
      MetricName: 'Errors',
      Dimensions: [{ Name: 'FunctionName', Value: `understudy-orders-${name}` }],
      TreatMissingData: 'notBreaching',
    });
  });

  it('take a figure for a breach when it is missing only where every Region sends it', () => {
    for (const { name, metric, missing } of ALARMS) {
      if (metric.of !== 'region') continue;
      // What a leader sends is missing in all other Regions, and an incident's while there is none.
      const always = ['follower', 'witness'].includes(METRICS[metric.name].sent);
      expect([name, missing]).toEqual([name, always ? 'breaching' : 'notBreaching']);
    }
  });

  it('say for each how bad it is and where to read on', () => {
    for (const type of [ALARM, COMPOSITE]) {
      eu.allResourcesProperties(type, {
        AlarmDescription: Match.stringLikeRegexp('^\\[(page|ticket)\\] .* See docs/RUNBOOK\\.md#[a-z_-]+$'),
        AlarmActions: Match.absent(),
      });
    }
    eu.resourceCountIs(ALARM, alarmsIn('replica', 'dynamodb').length);
  });

  it('link to a section of the runbook that is there', async () => {
    const runbook = await readFile(new URL('../../docs/RUNBOOK.md', import.meta.url), 'utf8');
    const headings = [...runbook.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading!);
    const anchors = headings.map((heading) => heading.toLowerCase().replaceAll(' ', '-'));
    const linked = [...ALARMS, UNSAFE].map(({ runbook }) => runbook);
    expect(anchors).toEqual(expect.arrayContaining(linked));
    // And no section for an alarm that there is none of.
    const sections = anchors.filter((anchor) => anchor.startsWith('alarm-'));
    expect(sections.filter((anchor) => !linked.includes(anchor))).toEqual([]);
  });
});

describe('the alarms of a witness', () => {
  it('are on its votes, its one function, and its silence, and no other', () => {
    const [, , , witness] = appOf(fileOf({ witnesses: ['eu-central-1'], alarmTopic: 'on-call' })).templates;
    const alarms = Object.values(witness!.findResources(ALARM)).map(({ Properties }) => Properties);
    expect(alarms.map(({ AlarmName }) => AlarmName).sort()).toEqual([
      'understudy-orders-sentinel-errors',
      'understudy-orders-votes',
      'understudy-orders-witness-silent',
    ]);
    witness!.hasResourceProperties(ALARM, {
      AlarmName: 'understudy-orders-witness-silent',
      MetricName: 'WitnessUp',
      TreatMissingData: 'breaching',
      AlarmActions: [`arn:aws:sns:eu-central-1:${ACCOUNT}:on-call`],
    });
    witness!.hasResourceProperties(COMPOSITE, { AlarmRule: 'ALARM("understudy-orders-witness-silent")' });
  });
});

describe('the alarm to page on', () => {
  it('is on while any other of its severity is', () => {
    const pages = alarmsIn('replica', 'dynamodb')
      .filter(({ severity }) => severity === 'page')
      .map(({ name }) => name);
    expect(pages.length).toBeGreaterThan(3);
    eu.hasResource(COMPOSITE, {
      Properties: {
        AlarmName: 'understudy-orders-unsafe',
        AlarmRule: pages.map((name) => `ALARM("understudy-orders-${name}")`).join(' OR '),
      },
      // CloudWatch refuses a rule that names an alarm which is not there yet.
      DependsOn: Match.arrayWith([Match.stringLikeRegexp('^Alarmsappliedlag')]),
    });
  });

  it('tells a topic of its own where there is one, and the topic of all where not', () => {
    const arn = (topic: string) => [`arn:aws:sns:eu-west-1:${ACCOUNT}:${topic}`];
    const [one] = appOf(fileOf({ alarmTopic: 'on-call' })).templates;
    const [two] = appOf(fileOf({ alarmTopic: 'tickets', pageTopic: 'on-call' })).templates;
    for (const [template, all] of [
      [one, 'on-call'],
      [two, 'tickets'],
    ] as const) {
      template!.allResourcesProperties(ALARM, { AlarmActions: arn(all), OKActions: arn(all) });
      template!.allResourcesProperties(COMPOSITE, {
        AlarmActions: arn('on-call'),
        OKActions: arn('on-call'),
      });
    }
  });
});
