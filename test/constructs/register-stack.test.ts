import { Duration } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { Engine } from '#lib/constructs/engine.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { Register } from '#lib/constructs/register.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { ACCOUNT, CODE, permissionsOf, settingsOf, testApp } from './stacks.ts';

const REGIONS = ['eu-central-1', 'eu-west-1', 'eu-west-3'];
const [CONTROL, REGISTER] = ['understudy-orders-control', 'understudy-orders-register'];
const everywhere = (table: string) => REGIONS.map((region) => `${region} ${table}`);

/** A group of two replicas and a witness, of one Region set. */
function made(changes: Partial<ReplicationGroupProps> = {}) {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: ['eu-west-1', 'eu-central-1'],
    witness: 'eu-west-3',
    engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
    register: Register.mrsc,
    account: ACCOUNT,
    code: CODE,
    ...changes,
  });
  const register = group.register && Template.fromStack(group.register);
  const [eu, , witness] = templates(group);
  return { app, eu: eu!, group, register, witness: witness! };
}

let built: ReturnType<typeof made>;
beforeAll(() => {
  built = made();
});

const may = (template: Template, id: string) => {
  const all = Object.entries(permissionsOf(template, id));
  return Object.fromEntries(
    all.filter(([, resources]) => resources.some((each) => /(control|register)$/.test(each))),
  );
};

describe('the stack of an MRSC register', () => {
  it('makes one strongly consistent table with a replica in each Region, which lets nobody delete an item', () => {
    const policy = (region: string) => ({
      PolicyDocument: {
        Statement: [
          Match.objectLike({
            Effect: 'Deny',
            Principal: { AWS: '*' },
            Action: ['dynamodb:BatchWriteItem', 'dynamodb:DeleteItem', 'dynamodb:PartiQLDelete'],
            Resource: `arn:aws:dynamodb:${region}:${ACCOUNT}:table/${REGISTER}`,
          }),
        ],
      },
    });
    built.register!.hasResource('AWS::DynamoDB::GlobalTable', {
      DeletionPolicy: 'Retain',
      Properties: {
        TableName: REGISTER,
        MultiRegionConsistency: 'STRONG',
        BillingMode: 'PAY_PER_REQUEST',
        KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
        TimeToLiveSpecification: Match.absent(),
        Replicas: ['eu-west-1', 'eu-west-3', 'eu-central-1'].map((region) =>
          Match.objectLike({
            Region: region,
            DeletionProtectionEnabled: true,
            PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
            ResourcePolicy: policy(region),
          }),
        ),
      },
    });
    built.register!.resourceCountIs('AWS::DynamoDB::GlobalTable', 1);
  });

  it('is that of the Region whose name comes first, however they are listed, and the first that is deployed', () => {
    for (const regions of [REGIONS.slice(0, 2), REGIONS.slice(0, 2).toReversed()]) {
      const { app, group } = made({ regions });
      expect(group.register).toMatchObject({ region: 'eu-central-1', stackName: REGISTER });
      expect(app.synth().stacks.map(({ stackName }) => stackName)[0]).toBe(REGISTER);
    }
  });

  it('is needed by no other stack of the app, so that each deploys by itself', () => {
    const { app } = made();
    for (const { dependencies, template } of app.synth().stacks) {
      expect(dependencies.filter(({ id }) => !id.endsWith('.assets'))).toEqual([]);
      expect(JSON.stringify(template)).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
    }
  });

  it('is not there for a quorum, which is the default', () => {
    for (const changes of [{ register: Register.quorum }, { register: undefined as never }]) {
      const { eu, group, register } = made(changes);
      expect([group.register, register]).toEqual([undefined, undefined]);
      const text = settingsOf(eu, 'understudy-orders-sentinel');
      expect(JSON.parse(text)).not.toHaveProperty('register');
      expect(may(eu, 'sentinel')['dynamodb:UpdateItem']).toEqual(expect.arrayContaining(everywhere(CONTROL)));
    }
  });

  it('leaves no finding of the AWS Solutions checks unexplained', () => {
    expect(new AwsSolutionsChecks(built.app).validateScope(built.app).violations).toEqual([]);
  });
});

describe('with an MRSC register', () => {
  it('every function is told of the table', () => {
    for (const template of [built.eu, built.witness]) {
      const config = readConfig({ UNDERSTUDY_CONFIG: settingsOf(template, 'understudy-orders-sentinel') });
      expect(config.register).toEqual({ kind: 'mrsc', table: REGISTER });
    }
  });

  it('the sentinel votes by the replica at hand, and writes no other Region’s control table', () => {
    expect(may(built.eu, 'sentinel')).toMatchObject({
      'dynamodb:GetItem': expect.arrayContaining([...everywhere(CONTROL), `eu-west-1 ${REGISTER}`]),
      'dynamodb:UpdateItem': expect.arrayContaining([`eu-west-1 ${CONTROL}`, `eu-west-1 ${REGISTER}`]),
    });
    expect(JSON.stringify(may(built.eu, 'sentinel')['dynamodb:UpdateItem'])).not.toMatch(
      /eu-central-1 [^"]*(control|register)/,
    );
    expect(may(built.witness, 'sentinel')).toEqual({
      'dynamodb:GetItem': [`eu-west-3 ${REGISTER}`],
      'dynamodb:UpdateItem': [`eu-west-3 ${REGISTER}`],
    });
  });

  it('the failover changes the register by the replica at hand', () => {
    const allowed = may(built.eu, 'failover');
    for (const action of ['dynamodb:GetItem', 'dynamodb:UpdateItem']) {
      expect(allowed[action]).toContain(`eu-west-1 ${REGISTER}`);
      expect(allowed[action]!.filter((each) => each.endsWith(REGISTER))).toHaveLength(1);
    }
    expect(JSON.stringify(allowed['dynamodb:ConditionCheckItem'])).not.toContain(REGISTER);
  });

  it('the check of a deployment looks at the table and what it holds, and changes nothing', () => {
    expect(may(built.eu, 'DeployCheckdeploycheck')).toEqual({
      'dynamodb:GetItem': [...everywhere(CONTROL), `eu-west-1 ${REGISTER}`].sort(),
      'dynamodb:DescribeTable': [`eu-west-1 ${REGISTER}`],
    });
  });

  it('nobody else may touch it, but for whoever runs drills, and for health checks', () => {
    for (const id of ['capture', 'relay', 'apply', 'retention', 'probe']) {
      expect(JSON.stringify(permissionsOf(built.eu, id)), id).not.toContain(REGISTER);
    }
    const dns = {
      zone: { hostedZoneId: 'Z0123456789', zoneName: 'example.com' },
      record: 'orders.example.com',
      endpoints: { 'eu-west-1': 'a.example.com', 'eu-central-1': 'b.example.com' },
      ttl: Duration.seconds(5),
      flip: 'data-plane' as const,
    };
    const drill = { schedule: 'cron(0 10 1 * ? *)', approvedBy: 'the test' };
    const { eu } = made({ dns, drill });
    expect(may(eu, 'LeaderCheckleads')).toEqual({ 'dynamodb:GetItem': [`eu-west-1 ${REGISTER}`] });
    expect(may(eu, 'Drilldrill')['dynamodb:GetItem']).toContain(`eu-west-1 ${REGISTER}`);
    expect(may(eu, 'Drilldrill')['dynamodb:UpdateItem']).toEqual([`eu-west-1 ${CONTROL}`]);
  });
});
