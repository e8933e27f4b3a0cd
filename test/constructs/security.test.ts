import { type App, Duration, RemovalPolicy } from 'aws-cdk-lib';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { Engine } from '#lib/constructs/engine.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { FUNCTIONS } from '#lib/constructs/names.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { ACCOUNT, CODE, testApp } from './stacks.ts';

type Made = {
  readonly app: App;
  readonly eu: Template;
  readonly all: readonly Template[];
  readonly witness: Template;
};

function made(changes: Partial<ReplicationGroupProps> = {}): Made {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: ['eu-west-1', 'us-east-1'],
    witness: 'eu-central-1',
    engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
    account: ACCOUNT,
    code: CODE,
    ...changes,
  });
  const all = templates(group);
  return { app, all, eu: all[0]!, witness: all[2]! };
}

let plain: Made;
let keyed: Made;
beforeAll(() => {
  plain = made();
  keyed = made({ encryption: 'customer' });
});

type Statement = {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Principal?: unknown;
  readonly Condition?: unknown;
};

/** The statements of all policies of a kind. */
function statements(template: Template, type: 'AWS::S3::BucketPolicy' | 'AWS::IAM::Policy'): Statement[] {
  return Object.values(template.findResources(type)).flatMap(
    ({ Properties }) => Properties.PolicyDocument.Statement,
  );
}

const bucketPolicy = (template: Template) => statements(template, 'AWS::S3::BucketPolicy');

describe('a bucket', () => {
  it('refuses an upload that is not conditional on there being no such object', () => {
    expect(bucketPolicy(plain.eu)).toContainEqual({
      Sid: 'WriteOnce',
      Effect: 'Deny',
      Principal: { AWS: '*' },
      Action: 's3:PutObject',
      Resource: {
        'Fn::Join': ['', [{ 'Fn::GetAtt': [expect.stringMatching(/^LogSegments/), 'Arn'] }, '/*']],
      },
      Condition: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
    });
  });

  it('refuses a deletion by anybody but retention', () => {
    expect(bucketPolicy(plain.eu)).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Principal: { AWS: '*' },
        Action: ['s3:DeleteObject', 's3:DeleteObjectVersion'],
        Condition: {
          ArnNotEquals: {
            'aws:PrincipalArn': [{ 'Fn::GetAtt': [expect.stringMatching(/^retentionRole/), 'Arn'] }],
          },
        },
      }),
    );
  });

  it('refuses whatever comes without TLS', () => {
    expect(bucketPolicy(plain.eu)).toContainEqual(
      expect.objectContaining({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
    );
  });

  it('holds what is locked for as long as it is told to, whoever asks', () => {
    made({ objectLock: Duration.days(7) }).eu.hasResourceProperties('AWS::S3::Bucket', {
      ObjectLockEnabled: true,
      ObjectLockConfiguration: {
        ObjectLockEnabled: 'Enabled',
        Rule: { DefaultRetention: { Mode: 'GOVERNANCE', Days: 7 } },
      },
      VersioningConfiguration: { Status: 'Enabled' },
      LifecycleConfiguration: {
        Rules: [Match.objectLike({ NoncurrentVersionExpiration: { NoncurrentDays: 1 }, Status: 'Enabled' })],
      },
    });
  });

  it('that is locked is an object, however small: no function puts it into the table', () => {
    const told = (template: Template) =>
      Object.values(template.findResources('AWS::Lambda::Function')).filter(({ Properties }) =>
        JSON.stringify(Properties.Environment ?? {}).includes('locksSegments'),
      ).length;
    expect(told(made({ objectLock: Duration.days(7) }).eu)).toBeGreaterThan(5);
    expect(told(made({}).eu)).toBe(0);
  });

  it.each([
    [{ objectLock: Duration.hours(12) }, 'objectLock: S3 locks for whole days'],
    [{ objectLock: Duration.days(7), removal: RemovalPolicy.DESTROY }, 'objectLock: what is locked'],
  ] as const)('has no lock that cannot be kept: %#', (changes, message) => {
    expect(() => made(changes)).toThrow(message);
  });
});

describe('a control table', () => {
  it('lets nobody delete an item, in any Region', () => {
    for (const template of plain.all) {
      template.hasResourceProperties('AWS::DynamoDB::Table', {
        TableName: 'understudy-orders-control',
        ResourcePolicy: {
          PolicyDocument: {
            Statement: [
              {
                Effect: 'Deny',
                Principal: { AWS: '*' },
                Action: ['dynamodb:BatchWriteItem', 'dynamodb:DeleteItem', 'dynamodb:PartiQLDelete'],
                Resource: Match.stringLikeRegexp('table/understudy-orders-control$'),
              },
            ],
          },
        },
      });
    }
  });
});

describe('no service can be made to act for somebody else', () => {
  it('Step Functions: by the role of the workflow for that workflow alone', () => {
    plain.eu.hasResourceProperties('AWS::IAM::Role', {
      AssumeRolePolicyDocument: {
        Statement: [
          {
            Principal: { Service: 'states.amazonaws.com' },
            Condition: {
              StringEquals: { 'aws:SourceAccount': ACCOUNT },
              ArnEquals: {
                'aws:SourceArn': `arn:aws:states:eu-west-1:${ACCOUNT}:stateMachine:understudy-orders-failover`,
              },
            },
          },
        ],
      },
    });
  });

  it('EventBridge: only by its own rule, of this account', () => {
    for (const template of plain.all) {
      template.allResourcesProperties('AWS::Lambda::Permission', {
        Principal: 'events.amazonaws.com',
        SourceAccount: ACCOUNT,
        SourceArn: { 'Fn::GetAtt': [Match.stringLikeRegexp('Rule'), 'Arn'] },
      });
    }
  });
});

describe('roles', () => {
  it('are those of the functions and of the workflow: the golden permissions leave none out', () => {
    const rolesOf = (template: Template) =>
      Object.keys(template.findResources('AWS::IAM::Role'))
        .map((id) => id.replace(/Role[0-9A-F]{8}$/, ''))
        .sort();
    const functions = [...FUNCTIONS, 'DeployCheckdeploycheck'];
    expect(rolesOf(plain.eu)).toEqual([...functions, 'Workflow'].sort());
    expect(rolesOf(plain.witness)).toEqual(['DeployCheckdeploycheck', 'sentinel']);
  });

  it('are allowed no action by a wildcard', () => {
    for (const template of [...plain.all, ...keyed.all]) {
      const allowed = statements(template, 'AWS::IAM::Policy');
      expect(allowed.length).toBeGreaterThan(0);
      for (const { Action } of allowed) expect([Action].flat().join()).not.toContain('*');
    }
  });
});

describe('keys of the account', () => {
  const ALIAS = 'alias/understudy-orders-data';

  it('encrypt every table, the log and the failures of every Region, each its own', () => {
    for (const template of keyed.all) {
      template.resourceCountIs('AWS::KMS::Key', 1);
      template.hasResource('AWS::KMS::Key', {
        Properties: { EnableKeyRotation: true },
        DeletionPolicy: 'Retain',
      });
      template.hasResourceProperties('AWS::KMS::Alias', { AliasName: ALIAS });
      const key = { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] };
      template.allResourcesProperties('AWS::DynamoDB::Table', {
        SSESpecification: { SSEEnabled: true, SSEType: 'KMS', KMSMasterKeyId: key },
      });
      expect(JSON.stringify(template.toJSON())).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
    }
    keyed.eu.hasResourceProperties('AWS::S3::Bucket', {
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          { BucketKeyEnabled: true, ServerSideEncryptionByDefault: { SSEAlgorithm: 'aws:kms' } },
        ],
      },
    });
    keyed.eu.hasResourceProperties('AWS::SQS::Queue', { KmsMasterKeyId: Match.anyValue() });
  });

  it('are used by every function, in every Region, by their alias and through the services that hold the data', () => {
    const regions = ['eu-central-1', 'eu-west-1', 'us-east-1'];
    for (const template of keyed.all) {
      const policies = Object.values(template.findResources('AWS::IAM::Policy'));
      const using = policies.flatMap(({ Properties }) =>
        Properties.PolicyDocument.Statement.filter(({ Action }: Statement) =>
          [Action].flat().includes('kms:Decrypt'),
        ),
      );
      expect(using).toHaveLength(Object.keys(template.findResources('AWS::Lambda::Function')).length);
      for (const { Condition, Resource } of using) {
        expect(Resource).toEqual(regions.map((region) => `arn:aws:kms:${region}:${ACCOUNT}:key/*`));
        expect(Condition['ForAnyValue:StringEquals']).toEqual({ 'kms:ResourceAliases': ALIAS });
        expect(Condition.StringEquals['kms:ViaService']).toHaveLength(3 * regions.length);
      }
    }
  });

  it('leave no finding of the AWS Solutions checks unexplained', () => {
    for (const { app } of [plain, keyed]) {
      expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
    }
  });
});
