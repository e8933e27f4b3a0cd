import { Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { expect, it } from 'vitest';
import { connectLeader } from '#lib/client/connect-leader.ts';
import { Engine } from '#lib/constructs/engine.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { ACCOUNT, CODE, testApp } from './stacks.ts';

const endpoints = { 'eu-west-1': 'eu.example.com', 'us-east-1': 'us.example.com' };
const dns = { zone: { hostedZoneId: 'Z0123456789' }, record: 'orders.example.com', endpoints };

/** An application's stack, whose function is a client of a group. */
function made(changes: Partial<ReplicationGroupProps>): Template {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: ['eu-west-1', 'us-east-1'],
    witness: 'eu-central-1',
    engine: Engine.dynamodb({
      table: 'orders-data',
      partitionKey: { name: 'pk', type: AttributeType.STRING },
    }),
    account: ACCOUNT,
    code: CODE,
    ...changes,
  });
  const stack = new Stack(app, 'Application', { env: { account: ACCOUNT, region: 'eu-west-1' } });
  const runtime = Runtime.NODEJS_24_X;
  const given = { runtime, handler: 'index.handler', code: Code.fromInline('exports.handler = () => {};') };
  group.grantClient(new LambdaFunction(stack, 'Function', given));
  const template = Template.fromStack(stack);
  templates(group);
  return template;
}

const arns = (table: string) =>
  Object.keys(endpoints).map((region) => `arn:aws:dynamodb:${region}:${ACCOUNT}:table/${table}`);

const statementsOf = (template: Template) =>
  Object.values(template.findResources('AWS::IAM::Policy'))
    .flatMap(({ Properties }) => Properties.PolicyDocument.Statement)
    .filter(({ Action }) => [Action].flat().some((each: string) => /^(dynamodb|kms):/.test(each)));

it.each([
  [false, 'dynamodb:GetItem'],
  [true, ['dynamodb:GetItem', 'dynamodb:UpdateItem']],
])(
  'lets an application use the table and look at the lease, in both Regions; counted writes: %s',
  (countedWrites, look) => {
    const template = made({ dns, countedWrites });
    expect(statementsOf(template)).toEqual([
      {
        Effect: 'Allow',
        Action: [
          'dynamodb:BatchGetItem',
          'dynamodb:BatchWriteItem',
          'dynamodb:ConditionCheckItem',
          'dynamodb:DeleteItem',
          'dynamodb:GetItem',
          'dynamodb:PutItem',
          'dynamodb:Query',
          'dynamodb:Scan',
          'dynamodb:UpdateItem',
        ],
        Resource: arns('orders-data'),
      },
      { Effect: 'Allow', Action: look, Resource: arns('understudy-orders-control') },
    ]);
    expect(JSON.stringify(template.toJSON())).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
  },
);

/** What the application's function is told. */
function optionsIn(template: Template) {
  const [{ Properties }] = Object.values(template.findResources('AWS::Lambda::Function')) as [
    { readonly Properties: { readonly Environment: { readonly Variables: Record<string, string> } } },
  ];
  return JSON.parse(Properties.Environment.Variables.UNDERSTUDY_CLIENT!);
}

it('tells it what the client takes', () => {
  const options = optionsIn(made({ dns }));
  expect(options).toEqual({ group: 'orders', name: dns.record, ttlSeconds: 10, endpoints });
  expect(connectLeader(options).write).toBeTypeOf('function');
});

it('lets it look at the register where that is a table of its own, and tells it so', () => {
  const near = { 'eu-west-1': 'eu.example.com', 'eu-west-2': 'us.example.com' };
  const template = made({ dns: { ...dns, endpoints: near }, regions: Object.keys(near), register: 'mrsc' });
  expect(statementsOf(template).at(-1)).toEqual({
    Effect: 'Allow',
    Action: 'dynamodb:GetItem',
    Resource: Object.keys(near).map(
      (region) => `arn:aws:dynamodb:${region}:${ACCOUNT}:table/understudy-orders-register`,
    ),
  });
  expect(optionsIn(template)).toMatchObject({ registerTable: 'understudy-orders-register' });
});

it("lets it use the account's keys where the group has them", () => {
  const used = statementsOf(made({ dns, encryption: 'customer' })).filter(({ Condition }) => Condition);
  expect(used).toMatchObject([
    {
      Condition: { 'ForAnyValue:StringEquals': { 'kms:ResourceAliases': 'alias/understudy-orders-data' } },
    },
  ]);
});

it('is refused where nothing says who leads', () => {
  expect(() => made({})).toThrow('dns: a client finds the leader by it');
});
