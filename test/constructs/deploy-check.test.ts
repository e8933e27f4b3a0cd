import type { App } from 'aws-cdk-lib';
import type { Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { AwsSolutionsChecks } from 'cdk-nag';
import { expect, it } from 'vitest';
import { Engine } from '#lib/constructs/engine.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { ACCOUNT, CODE, permissionsOf, testApp } from './stacks.ts';

type Resource = { readonly Type: string; readonly DependsOn?: readonly string[] };

/** The templates of a group of two replicas and a witness; `change` may add to it before they are made. */
function synthesized(
  options: { readonly existing?: boolean; readonly context?: Record<string, string> } = {},
  change: (group: ReplicationGroup) => void = () => {},
): { readonly app: App; readonly eu: Template; readonly witness: Template } {
  const { app, templates } = testApp();
  for (const [key, value] of Object.entries(options.context ?? {})) app.node.setContext(key, value);
  const partitionKey = { name: 'pk', type: AttributeType.STRING };
  const group = new ReplicationGroup(app, 'orders', {
    regions: ['eu-west-1', 'us-east-1'],
    witness: 'eu-central-1',
    engine: Engine.dynamodb({ table: 'orders', partitionKey, existing: options.existing ?? false }),
    dns: {
      zone: { hostedZoneId: 'Z1', zoneName: 'example.com' },
      record: 'orders.example.com',
      endpoints: { 'eu-west-1': '192.0.2.1', 'us-east-1': '192.0.2.2' },
    },
    account: ACCOUNT,
    code: CODE,
  });
  change(group);
  const [eu, , witness] = templates(group);
  return { app, eu: eu!, witness: witness! };
}

function checkOf(template: Template) {
  const [entry] = Object.entries(template.findResources('Custom::UnderstudyDeployCheck'));
  const [id, { Properties }] = entry!;
  return { id, properties: Properties as Record<string, unknown> };
}

it('comes before everything else in every stack, so that what is refused has touched nothing', () => {
  const { eu, witness } = synthesized();
  for (const template of [eu, witness]) {
    const { id } = checkOf(template);
    const resources = Object.entries(template.toJSON().Resources as Record<string, Resource>);
    const late = resources.filter(([name]) => !name.startsWith('DeployCheck'));
    expect(late.length).toBeGreaterThan(5);
    for (const [name, { DependsOn }] of late) expect(DependsOn, name).toContain(id);
  }
});

it('is asked again whenever anything of the stack has changed, and never else', () => {
  const template = (change?: (group: ReplicationGroup) => void) =>
    checkOf(synthesized({}, change).eu).properties.template;
  const same = template();
  expect(same).toMatch(/^[0-9a-f]{16}$/);
  expect(template()).toBe(same);
  const eu = ({ replicas }: ReplicationGroup) => replicas['eu-west-1']!;
  expect(template((group) => eu(group).handlers.apply.fn.addEnvironment('EXTRA', '1'))).not.toBe(same);
  expect(template((group) => (eu(group).templateOptions.description = 'another'))).not.toBe(same);
});

it('lets itself be overridden by a reason in the context', () => {
  const { eu } = synthesized({ context: { 'understudy:deploy-anyway': 'a stuck run' } });
  expect(checkOf(eu).properties.anyway).toBe('a stuck run');
  expect(checkOf(synthesized().eu).properties).not.toHaveProperty('anyway');
});

const OWN = {
  'logs:CreateLogStream': ['DeployCheckdeploycheckLogs.Arn'],
  'logs:PutLogEvents': ['DeployCheckdeploycheckLogs.Arn'],
  'xray:PutTelemetryRecords': ['*'],
  'xray:PutTraceSegments': ['*'],
  'dynamodb:GetItem': ['eu-central-1', 'eu-west-1', 'us-east-1'].map(
    (region) => `${region} understudy-orders-control`,
  ),
  'route53:GetHostedZone': ['hostedzone/Z1'],
};
const stack = (region: string) =>
  `arn:aws:cloudformation:${region}:${ACCOUNT}:stack/understudy-orders-${region}/*`;

it('may look at the registers, the zone and its own stack, and at nothing more', () => {
  const { eu, witness } = synthesized();
  const role = 'DeployCheckdeploycheck';
  expect(permissionsOf(eu, role)).toEqual({ ...OWN, 'cloudformation:DescribeStacks': [stack('eu-west-1')] });
  expect(permissionsOf(witness, role)).toEqual({
    ...OWN,
    'cloudformation:DescribeStacks': [stack('eu-central-1')],
  });
});

it('may tag a table that is there already, is told its stream, and leaves it out of the template', () => {
  const { app, eu } = synthesized({ existing: true });
  const table = ['eu-west-1 orders'];
  expect(permissionsOf(eu, 'DeployCheckdeploycheck')).toEqual({
    ...OWN,
    'cloudformation:DescribeStacks': [stack('eu-west-1')],
    'dynamodb:DescribeTable': table,
    'dynamodb:ListTagsOfResource': table,
    'dynamodb:TagResource': table,
    'dynamodb:UntagResource': table,
  });
  const { id } = checkOf(eu);
  const stream = { 'Fn::GetAtt': [id, 'StreamArn'] };
  eu.hasResourceProperties('AWS::Lambda::EventSourceMapping', { EventSourceArn: stream });
  expect(permissionsOf(eu, 'capture')).toMatchObject({
    'dynamodb:GetRecords': ['DeployCheck.StreamArn'],
  });
  const tables = Object.values(eu.findResources('AWS::DynamoDB::Table'));
  expect(tables.map(({ Properties }) => Properties.TableName)).not.toContain('orders');
  expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
});
