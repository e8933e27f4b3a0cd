import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IPolicyValidationContext } from 'aws-cdk-lib';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, expect, it } from 'vitest';
import { FailoverPathChecks } from '#lib/constructs/failover-path-checks.ts';
import { appOf, fileOf, permissionsOf } from './stacks.ts';

const { record, targets } = fileOf().failover;
const FLIP = { ...record, flip: 'data-plane' };
const REGIONS = Object.keys(targets) as (keyof typeof targets)[];

let made: ReturnType<typeof appOf>;
let templates: readonly Template[];
beforeAll(() => {
  made = appOf(fileOf({ failover: { profile: 'fast', record: FLIP, targets } }));
  templates = made.templates;
});

it("makes each Region's set of the record, which is an answer while a health check of that Region's says that it leads", () => {
  for (const [index, region] of REGIONS.entries()) {
    const template = templates[index]!;
    template.hasResourceProperties('AWS::Route53::RecordSet', {
      HostedZoneId: record.zoneId,
      Name: record.name,
      Type: 'CNAME',
      TTL: '10',
      SetIdentifier: region,
      Weight: 1,
      ResourceRecords: [targets[region]],
      HealthCheckId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^LeaderCheckHealthCheck'), 'HealthCheckId'] },
    });
    template.resourceCountIs('AWS::Route53::RecordSet', 1);
    const url = { 'Fn::GetAtt': [Match.stringLikeRegexp('^LeaderCheckleads.*FunctionUrl'), 'FunctionUrl'] };
    template.hasResourceProperties('AWS::Route53::HealthCheck', {
      HealthCheckConfig: {
        Type: 'HTTPS',
        FullyQualifiedDomainName: { 'Fn::Select': [2, { 'Fn::Split': ['/', url] }] },
        RequestInterval: 10,
        FailureThreshold: 1,
        EnableSNI: true,
        Inverted: Match.absent(),
      },
    });
  }
});

it('has one public function, which may read the control table of its Region and do nothing else', () => {
  for (const [index, region] of REGIONS.entries()) {
    const template = templates[index]!;
    template.resourceCountIs('AWS::Lambda::Url', 1);
    template.hasResourceProperties('AWS::Lambda::Url', { AuthType: 'NONE' });
    // Whoever floods it leaves the other functions their share.
    template.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'understudy-orders-leads',
      ReservedConcurrentExecutions: 5,
      TracingConfig: Match.absent(),
    });
    const may = permissionsOf(template, 'LeaderCheckleads');
    expect(Object.keys(may).filter((action) => !/^(logs|xray):/.test(action))).toEqual(['dynamodb:GetItem']);
    expect(may['dynamodb:GetItem']).toEqual([`${region} understudy-orders-control`]);
  }
});

it('lets a failover call nothing of Route 53, so that the fast profile passes the checks of its path', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'understudy-flip-'));
  const templatePaths = templates.map((_, index) => join(folder, `${index}.json`));
  for (const [index, template] of templates.entries()) {
    expect(Object.keys(permissionsOf(template, 'failover')).join()).not.toContain('route53');
    await writeFile(templatePaths[index]!, JSON.stringify(template.toJSON()));
  }
  const context = { templatePaths } as unknown as IPolicyValidationContext;
  expect(new FailoverPathChecks().validate(context)).toEqual({ success: true, violations: [] });
  await rm(folder, { recursive: true });
});

it('lets a deployment see what stands at the name', () => {
  for (const template of templates) {
    expect(permissionsOf(template, 'DeployCheckdeploycheck')).toMatchObject({
      'route53:ListResourceRecordSets': [`hostedzone/${record.zoneId}`],
    });
  }
});

it('leaves no finding of the AWS Solutions checks', () => {
  expect(new AwsSolutionsChecks(made.app).validateScope(made.app).violations).toEqual([]);
});

it.each([
  ['control-plane', { ...record, flip: 'control-plane' }],
  ['not said', record],
])('makes none of it where flip is %s', (_, given) => {
  for (const template of appOf(fileOf({ failover: { record: given, targets } })).templates) {
    for (const type of ['Lambda::Url', 'Route53::HealthCheck', 'Route53::RecordSet']) {
      template.resourceCountIs(`AWS::${type}`, 0);
    }
  }
});

it.each([
  [
    'targets of more forms than one',
    { record: FLIP, targets: { ...targets, 'us-east-1': '10.0.0.1' } },
    'dns.endpoints: health checks choose among records of one type',
  ],
  [
    'a leader that goes on without a lease',
    { record: FLIP, targets, onLeaseLost: 'continue' },
    'DNS follows the lease',
  ],
  ['another way', { record: { ...record, flip: 'auto' }, targets }, 'failover.record.flip'],
])('refuses %s', (_, failover, why) => {
  expect(() => appOf(fileOf({ failover }))).toThrow(why);
});

it('takes addresses where all are of one version', () => {
  const addresses = { 'eu-west-1': 'fd00::1', 'us-east-1': 'fd00::2', 'ap-southeast-2': 'fd00::3' };
  for (const template of appOf(fileOf({ failover: { record: FLIP, targets: addresses } })).templates) {
    template.hasResourceProperties('AWS::Route53::RecordSet', { Type: 'AAAA' });
  }
});
