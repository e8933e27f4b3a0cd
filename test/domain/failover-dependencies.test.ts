import { beforeAll, describe, expect, test } from 'vitest';
import {
  type Dependency,
  failoverDependencies,
  type PathTemplate,
} from '#lib/domain/failover-dependencies.ts';
import { referredTo, textOf } from '#lib/domain/template-text.ts';
import { ACCOUNT, appOf, fileOf } from '../constructs/stacks.ts';

type Resources = Record<string, { Type: string; Properties: Record<string, unknown> }>;
const REGION = 'eu-west-1';

let sound: { Resources: Resources };
beforeAll(() => {
  sound = appOf(fileOf()).templates[0]!.toJSON() as { Resources: Resources };
});

/** What is found in the sound template after a change. */
function found(change: (resources: Resources) => void, profile: 'fast' | 'balanced' = 'balanced') {
  const template = structuredClone(sound);
  change(template.Resources);
  return failoverDependencies([{ region: REGION, template: template as PathTemplate }], profile).filter(
    ({ what }) => !what.includes('route53:ChangeResourceRecordSets'),
  );
}

const rules = (dependencies: readonly Dependency[]) =>
  dependencies.map(({ rule, step }) => `${rule} ${step}`);
const named = (resources: Resources, type: string, name = '') =>
  Object.entries(resources).find(
    ([id, { Type, Properties }]) =>
      Type === type && (String(Properties.FunctionName ?? '').endsWith(name) || id.startsWith(name)),
  )!;
const policyOf = (resources: Resources, name: string) =>
  (
    named(resources, 'AWS::IAM::Policy', `${name}Role`)[1].Properties.PolicyDocument as {
      Statement: object[];
    }
  ).Statement;

describe('the template as the constructs make it', () => {
  test.each([
    ['balanced', 'warning'],
    ['cautious', 'warning'],
    ['fast', 'error'],
  ] as const)(
    'needs us-east-1 for the DNS record alone: with the profile %s, that is an %s',
    (profile, severity) => {
      const dependencies = failoverDependencies([{ region: REGION, template: sound }], profile);
      expect(dependencies).toMatchObject([
        { rule: 'control-plane', step: 'Repoint', region: REGION, severity },
      ]);
      expect(dependencies[0]!.cure).toContain('Profile.balanced');
    },
  );

  test('needs nothing of any one Region where clients are told by other means', () => {
    const template = appOf(fileOf({ failover: { profile: 'fast' } })).templates[0]!.toJSON();
    expect(failoverDependencies([{ region: REGION, template }], 'fast')).toEqual([]);
  });
});

describe('a template that breaks a rule is told of, with the step', () => {
  test('a call of a control plane that is in us-east-1 alone', () => {
    const broken = found((resources) => {
      policyOf(resources, 'failover').push({ Effect: 'Allow', Action: ['iam:PutRolePolicy'], Resource: '*' });
    });
    expect(rules(broken)).toEqual(['control-plane failover']);
    expect(broken[0]).toMatchObject({ severity: 'error', what: expect.stringContaining('us-east-1') });
  });

  test('but not one that is denied', () => {
    const change = (resources: Resources) =>
      policyOf(resources, 'failover').push({ Effect: 'Deny', Action: 'iam:*', Resource: '*' });
    expect(found(change)).toEqual([]);
  });

  test('a function that may call one other Region and no more', () => {
    const broken = found((resources) => {
      const Resource = `arn:aws:dynamodb:us-east-1:${ACCOUNT}:table/state`;
      policyOf(resources, 'sentinel').push({ Effect: 'Allow', Action: 'dynamodb:GetItem', Resource });
    });
    expect(rules(broken)).toEqual(['one-region sentinel']);
    expect(broken[0]!.what).toContain('while us-east-1 is lost');
  });

  test('a state of the workflow that is taken in another Region', () => {
    const broken = found((resources) => {
      const machine = named(resources, 'AWS::StepFunctions::StateMachine')[1];
      const text = textOf(machine.Properties.DefinitionString, REGION);
      const definition = JSON.parse(text);
      definition.States.Promote.Resource = `arn:aws:lambda:us-west-2:${ACCOUNT}:function:promote`;
      machine.Properties.DefinitionString = JSON.stringify(definition);
    });
    expect(rules(broken)).toEqual(['one-region Promote']);
  });

  test('a state that calls a control plane itself', () => {
    const broken = found((resources) => {
      const machine = named(resources, 'AWS::StepFunctions::StateMachine')[1];
      const definition = JSON.parse(textOf(machine.Properties.DefinitionString, REGION));
      definition.States.Repoint.Resource = 'arn:aws:states:::aws-sdk:route53:changeResourceRecordSets';
      machine.Properties.DefinitionString = JSON.stringify(definition);
    });
    expect(rules(broken)).toEqual(['control-plane Repoint']);
  });

  test.each([
    ['of the function', (f: Resources[string]) => ({ ...f.Properties, KmsKeyArn: KEY })],
    ['of STS that is global', (f: Resources[string]) => ({ ...f.Properties, Environment: LEGACY })],
  ])('the setting %s', (_, change) => {
    const broken = found((resources) => {
      const fn = named(resources, 'AWS::Lambda::Function', '-failover')[1];
      fn.Properties = change(fn);
    });
    expect(broken.map(({ rule, step }) => [rule, step])).toEqual([
      [expect.stringMatching(/foreign-key|control-plane/), 'failover'],
    ]);
  });

  test('a table that is encrypted with a key of another Region, and a right to use one', () => {
    const broken = found((resources) => {
      const table = named(resources, 'AWS::DynamoDB::Table')[1];
      table.Properties.SSESpecification = { SSEEnabled: true, KMSMasterKeyId: KEY };
      policyOf(resources, 'failover').push({ Effect: 'Allow', Action: 'kms:Decrypt', Resource: KEY });
    });
    expect(rules(broken).toSorted()).toEqual(['foreign-key AWS::DynamoDB::Table', 'foreign-key failover']);
  });

  test.each([
    ['AWS::StepFunctions::StateMachine', '', 'the workflow'],
    ['AWS::Lambda::Function', '-failover', 'the function failover'],
    ['AWS::Lambda::Function', '-sentinel', 'the function sentinel'],
  ])('a Region without %s %s', (type, name, what) => {
    const broken = found((resources) => {
      delete resources[named(resources, type, name)[0]];
    });
    expect(broken).toMatchObject([{ rule: 'no-coordinator', severity: 'error' }]);
    expect(broken[0]!.what).toContain(what);
  });
});

const KEY = `arn:aws:kms:us-east-1:${ACCOUNT}:key/1`;
const LEGACY = { Variables: { AWS_STS_REGIONAL_ENDPOINTS: 'legacy' } };

test('what a template says is read as far as it is known before deployment', () => {
  expect(
    textOf({ 'Fn::Join': [':', ['a', { Ref: 'AWS::Region' }, { 'Fn::GetAtt': ['F', 'Arn'] }]] }, REGION),
  ).toBe(
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is CloudFormation's own.
    'a:eu-west-1:${F.Arn}',
  );
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is CloudFormation's own.
  expect(textOf({ 'Fn::Sub': 'arn:${AWS::Partition}:x:${AWS::Region}' }, REGION)).toBe('arn:aws:x:eu-west-1');
  expect(referredTo({ a: [{ Ref: 'R' }, { 'Fn::GetAtt': ['F', 'Arn'] }] })).toEqual(['R', 'F']);
});
