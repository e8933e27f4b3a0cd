import { Match, type Template } from 'aws-cdk-lib/assertions';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { failoverDefinition, functionArn } from '#lib/local/workflow/definition.ts';
import { appOf, fileOf } from './stacks.ts';

let eu: Template;
let definition: Definition;

type State = { Type: string; Comment?: string; Retry?: { ErrorEquals: string[]; JitterStrategy?: string }[] };
type Definition = { Comment: string; QueryLanguage: string; States: Record<string, State> };

beforeAll(() => {
  eu = appOf(fileOf()).templates[0]!;
  definition = JSON.parse(definitionOf(eu));
});

/** The ASL of a template, with what CloudFormation is to fill in. */
function definitionOf(template: Template): string {
  const [machine] = Object.values(template.findResources('AWS::StepFunctions::StateMachine'));
  const [separator, parts] = machine!.Properties.DefinitionString['Fn::Join'];
  return parts
    .map((part: string | { Ref: string } | { 'Fn::GetAtt': string[] }) => {
      if (typeof part === 'string') return part;
      if ('Ref' in part && part.Ref === 'AWS::Partition') return 'aws';
      if ('Fn::GetAtt' in part && /^failoverFunction/.test(part['Fn::GetAtt'][0]!)) {
        return functionArn(parseGroupId('orders'), parseRegionId('eu-west-1'));
      }
      throw new Error(`unexpected ${JSON.stringify(part)}`);
    })
    .join(separator);
}

describe('the workflow', () => {
  it('is a standard state machine of the same name in every Region, which logs all it does and is traced', () => {
    eu.hasResourceProperties('AWS::StepFunctions::StateMachine', {
      StateMachineName: 'understudy-orders-failover',
      StateMachineType: 'STANDARD',
      LoggingConfiguration: { Level: 'ALL', IncludeExecutionData: true },
      TracingConfiguration: { Enabled: true },
    });
    eu.hasResourceProperties('AWS::Logs::LogGroup', {
      LogGroupName: '/aws/vendedlogs/states/understudy-orders-failover',
      RetentionInDays: 30,
    });
  });

  it('may call the failover function, and no other', () => {
    eu.hasResourceProperties('AWS::IAM::Policy', {
      PolicyName: Match.stringLikeRegexp('^WorkflowRole'),
      PolicyDocument: {
        Statement: [
          {
            Effect: 'Allow',
            Action: 'lambda:InvokeFunction',
            Resource: { 'Fn::GetAtt': [Match.stringLikeRegexp('^failoverFunction'), 'Arn'] },
          },
          { Effect: 'Allow', Action: Match.anyValue(), Resource: '*' },
        ],
      },
    });
  });

  it('is written in JSONPath throughout', () => {
    expect(definition.QueryLanguage).toBe('JSONPath');
    for (const [name, state] of Object.entries(definition.States)) {
      // What only states in JSONata have, or what makes them so.
      for (const field of ['QueryLanguage', 'Arguments', 'Output', 'Assign', 'Items', 'Condition']) {
        expect(state, name).not.toHaveProperty(field);
      }
    }
    expect(JSON.stringify(definition)).not.toContain('{%');
  });

  it('explains each of its states', () => {
    for (const [name, { Comment }] of Object.entries(definition.States)) {
      expect(Comment, name).toMatch(/^[A-Z].{20,}\.$/);
    }
  });

  it('tries every call again, at random times', () => {
    const tasks = Object.entries(definition.States).filter(([, { Type }]) => Type === 'Task');
    expect(tasks).toHaveLength(11);
    for (const [name, { Retry }] of tasks) {
      const all = Retry?.find(({ ErrorEquals }) => ErrorEquals.includes('States.ALL'));
      expect(all, name).toMatchObject({ MaxAttempts: 5, MaxDelaySeconds: 5, JitterStrategy: 'FULL' });
    }
  });

  it('is in the embedded cloud what it is on AWS', () => {
    const { Comment: _, QueryLanguage: __, ...deployed } = definition;
    expect(failoverDefinition(parseGroupId('orders'), parseRegionId('eu-west-1'))).toEqual(deployed);
  });
});
