import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { parseDeployment, propsOf } from '#lib/constructs/config.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';

export const ACCOUNT = '111122223333';
export const QUEUE_URL = 'https://sqs.example.com/failures';

/** A config file's content, with what a test wants otherwise. */
export function fileOf(changes: object = {}) {
  return {
    group: 'orders',
    table: 'orders-data',
    key: [
      { name: 'pk', type: 'S' },
      { name: 'sk', type: 'N' },
    ],
    regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }, { name: 'ap-southeast-2' }],
    failover: {
      record: { zoneId: 'Z0123456789', name: 'orders.example.com' },
      targets: {
        'eu-west-1': 'eu-west-1.example.com',
        'us-east-1': 'us-east-1.example.com',
        'ap-southeast-2': 'ap-southeast-2.example.com',
      },
    },
    ...changes,
  };
}

/** That of a group of databases, with what a test wants otherwise in `engine`. */
export function databasesFileOf(engine: object = {}) {
  const { group } = fileOf();
  const regions = ['eu-west-1', 'us-east-1'];
  const network = { vpc: { vpcId: 'vpc-0123abcd' }, subnets: ['subnet-0123aaaa', 'subnet-0123bbbb'] };
  return {
    group,
    engine: {
      kind: 'postgres',
      databases: Object.fromEntries(
        regions.map((region) => [
          region,
          {
            server: { host: `${region}.example.com` },
            database: 'orders',
            role: 'understudy',
            secret: 'orders',
          },
        ]),
      ),
      network: Object.fromEntries([...regions, 'eu-central-1'].map((region) => [region, network])),
      applicationRoles: ['app'],
      ...engine,
    },
    regions: regions.map((name) => ({ name })),
    witnesses: ['eu-central-1'],
    failover: {},
  };
}

/** Where things were created, and CloudFormation's own rules: both slow, and covered by the test of the app. */
const WITHOUT = { 'aws:cdk:disable-stack-trace': true, '@aws-cdk/core:validateAgainstDefaultRules': false };

/** An app for tests, with the context of cdk.json. Nothing is left of its folder. */
export function testApp(): {
  readonly app: App;
  readonly templates: (group: ReplicationGroup) => Template[];
} {
  const outdir = mkdtempSync(join(tmpdir(), 'understudy-synth-'));
  const { context } = JSON.parse(readFileSync('cdk.json', 'utf8'));
  const app = new App({ outdir, context: { ...context, ...WITHOUT } });
  const templates = ({ replicas, witnesses }: ReplicationGroup) => {
    const made = [replicas, witnesses].flatMap((stacks) =>
      Object.values(stacks).map((stack) => Template.fromStack(stack)),
    );
    rmSync(outdir, { recursive: true });
    return made;
  };
  return { app, templates };
}

/** Stands for the code of every function. */
export const CODE = () => Code.fromInline('exports.handler = async () => {};');

/** The app of a config file, with stubs for code, under the context of cdk.json; its templates, the replicas' first. */
export function appOf(file: object) {
  const { app, templates } = testApp();
  const { group, ...props } = propsOf(parseDeployment(file, 'test'));
  const made = new ReplicationGroup(app, group, { account: ACCOUNT, ...props, code: CODE });
  return { app, group: made, templates: templates(made) };
}

/** UNDERSTUDY_CONFIG of a function as it would be once deployed, with `QUEUE_URL` for that of the queue. */
export function settingsOf(template: Template, functionName: string): string {
  const named = { Properties: { FunctionName: functionName } };
  for (const { Properties } of Object.values(template.findResources('AWS::Lambda::Function', named))) {
    const text = Properties.Environment.Variables.UNDERSTUDY_CONFIG;
    // Nothing in it that is known only once it is deployed.
    if (typeof text === 'string') return text;
    const [separator, parts] = text['Fn::Join'];
    return parts.map((part: unknown) => (typeof part === 'string' ? part : QUEUE_URL)).join(separator);
  }
  throw new Error(`the template has no function ${functionName}`);
}

/** What the role of a function may do: sorted resources by action, each as short as it stays unambiguous. */
export function permissionsOf(template: Template, id: string): Record<string, string[]> {
  const may: Record<string, string[]> = {};
  for (const [name, { Properties }] of Object.entries(template.findResources('AWS::IAM::Policy'))) {
    if (!name.startsWith(`${id}Role`)) continue;
    for (const { Effect, Action, Resource, Condition } of Properties.PolicyDocument.Statement) {
      if (Effect !== 'Allow' || Condition !== undefined) throw new Error(`unexpected statement in ${name}`);
      for (const action of [Action].flat()) {
        may[action] = [...(may[action] ?? []), ...[Resource].flat().map(short)].sort();
      }
    }
  }
  return may;
}

function short(resource: string | { 'Fn::GetAtt': [string, string] }): string {
  if (typeof resource === 'string') {
    return resource
      .replace('arn:aws:s3:::', '')
      .replace('arn:aws:route53:::', '')
      .replace(/^arn:aws:states:(.*):\d+:(stateMachine|execution):/, '$1 ')
      .replace(/^arn:aws:cloudwatch:(.*):\d+:alarm:/, '$1 ')
      .replace(/^arn:aws:dynamodb:(.*):\d+:table\//, '$1 ');
  }
  const [id, attribute] = resource['Fn::GetAtt'];
  return `${id.replace(/[0-9A-F]{8}$/, '')}.${attribute}`;
}
