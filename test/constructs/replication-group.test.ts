import { App, Aws, Duration, RemovalPolicy, Stack, Stage } from 'aws-cdk-lib';
import type { Template } from 'aws-cdk-lib/assertions';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { HostedZone } from 'aws-cdk-lib/aws-route53';
import { describe, expect, it } from 'vitest';
import { Engine } from '#lib/constructs/engine.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import { Profile } from '#lib/constructs/profile.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { CODE, testApp } from './stacks.ts';

const ENGINE = {
  table: 'orders',
  partitionKey: { name: 'pk', type: AttributeType.STRING },
};
const ZONE = { hostedZoneId: 'Z0123456789', zoneName: 'example.com' };
const DNS = {
  zone: ZONE,
  record: 'orders.example.com',
  endpoints: { 'eu-west-1': 'eu.example.com', 'us-east-1': 'us.example.com' },
};

/** The props of the README's group, with what a test wants otherwise. */
function propsWith(changes: Partial<ReplicationGroupProps> = {}): ReplicationGroupProps {
  return {
    regions: ['eu-west-1', 'us-east-1'],
    witness: 'eu-central-1',
    engine: Engine.dynamodb(ENGINE),
    dns: DNS,
    profile: Profile.balanced,
    alarms: { topic: 'on-call' },
    code: CODE,
    ...changes,
  };
}

const group = (changes: Partial<ReplicationGroupProps> = {}, scope = new App()) =>
  new ReplicationGroup(scope, 'orders', propsWith(changes));

describe('a group', () => {
  it('is a stack in each Region and one for the witness, named after the group, in whatever account deploys', () => {
    const { app, templates } = testApp();
    const { replicas, witnesses } = group({}, app);
    const stacks = { ...replicas, ...witnesses };
    expect(Object.keys(replicas)).toEqual(['eu-west-1', 'us-east-1']);
    expect(Object.keys(witnesses)).toEqual(['eu-central-1']);
    for (const [region, stack] of Object.entries(stacks)) {
      expect(stack).toMatchObject({
        region,
        account: Aws.ACCOUNT_ID,
        stackName: `understudy-orders-${region}`,
      });
    }
    expect(templates({ replicas, witnesses } as ReplicationGroup)).toHaveLength(3);
  });

  it('takes the account of its stage, or the one that it is given', () => {
    const stage = new Stage(new App(), 'prod', { env: { account: '111122223333' } });
    expect(group({}, stage as App).replicas['eu-west-1']).toMatchObject({ account: '111122223333' });
    expect(group({ account: '444455556666' }).replicas['us-east-1']).toMatchObject({
      account: '444455556666',
    });
  });

  it('shows what it is made of: whoever needs more can add it', () => {
    const eu = group().replicas['eu-west-1']!;
    expect(eu.handlers.capture.fn.functionName).toBeDefined();
    expect(eu.store.table.tableArn).toBeDefined();
    expect(eu.log.bucket.bucketArn).toBeDefined();
    expect(eu.control.table.tableArn).toBeDefined();
    expect(eu.workflow.machine.stateMachineArn).toBeDefined();
  });

  it('tags everything with its name', () => {
    const [eu] = synthesized({});
    for (const type of ['AWS::DynamoDB::Table', 'AWS::Lambda::Function', 'AWS::S3::Bucket']) {
      eu!.allResourcesProperties(type, { Tags: [{ Key: 'understudy:group', Value: 'orders' }] });
    }
  });

  const kept = ['AWS::DynamoDB::Table', 'AWS::S3::Bucket', 'AWS::SQS::Queue'];

  it('keeps data, log and control tables when a stack goes', () => {
    const [eu] = synthesized({});
    for (const type of kept) eu!.allResources(type, { DeletionPolicy: 'Retain' });
    eu!.allResourcesProperties('AWS::DynamoDB::Table', { DeletionProtectionEnabled: true });
  });

  it('lets them go with the stack only where it is told to', () => {
    const [eu] = synthesized({ removal: RemovalPolicy.DESTROY });
    for (const type of kept) eu!.allResources(type, { DeletionPolicy: 'Delete' });
    eu!.allResourcesProperties('AWS::DynamoDB::Table', { DeletionProtectionEnabled: false });
  });

  function synthesized(changes: Partial<ReplicationGroupProps>): readonly Template[] {
    const { app, templates } = testApp();
    return templates(group(changes, app));
  }
});

describe('a group is refused, by the name of the prop, with', () => {
  const dns = (changes: object) => ({ dns: { ...DNS, ...changes } });
  const four = { regions: ['eu-west-1', 'eu-west-2', 'eu-west-3'] };
  const engine = (changes: object) => ({ engine: Engine.dynamodb({ ...ENGINE, ...changes }) });

  it.each<[string, Partial<ReplicationGroupProps>, string]>([
    [
      'a Region that does not exist',
      { regions: ['eu-west-1', 'eu-west-9'] },
      'regions[1]: AWS has no Region eu-west-9',
    ],
    ['a witness that does not exist', { witness: 'mars-north-1' }, 'witness: AWS has no Region mars-north-1'],
    [
      'Regions of two partitions',
      { regions: ['eu-west-1', 'cn-north-1'] },
      'regions[1]: cn-north-1 is of partition aws-cn',
    ],
    ['a Region twice', { regions: ['eu-west-1', 'eu-west-1'] }, 'regions[1]: eu-west-1 is there twice'],
    ['a witness that is a replica', { witness: 'us-east-1' }, 'witness: us-east-1 is a replica, too'],
    [
      'two replicas and no witness',
      { witness: [] },
      'witness: eu-west-1 and us-east-1 cannot outvote each other',
    ],
    [
      'a cascade to nowhere',
      { regions: ['eu-west-1', { region: 'us-east-1', follows: 'us-west-2' }] },
      'regions[1].follows: us-west-2 is not another replica',
    ],
    ['one replica alone', { regions: ['eu-west-1'] }, 'regions: a group needs two replicas'],
    ['a group name with capitals', { group: 'Orders' }, 'group "Orders" is not valid'],
    ['a group name that is too long for its buckets', { group: 'g'.repeat(40) }, 'at most 29 characters'],
    [
      'a table in a third Region',
      engine({ table: 'arn:aws:dynamodb:ap-south-1:111122223333:table/orders' }),
      'engine.table: the table lies in ap-south-1',
    ],
    [
      'the ARN of a table',
      engine({ table: 'arn:aws:dynamodb:eu-west-1:111122223333:table/orders' }),
      'Give its name alone: orders.',
    ],
    [
      'a table name that DynamoDB refuses',
      engine({ table: 'or ders' }),
      'engine.table: "or ders" is not the name',
    ],
    ["a table of Understudy's own", engine({ table: 'understudy-orders-log' }), "Understudy's own"],
    ['one name for both keys', engine({ sortKey: ENGINE.partitionKey }), 'engine.sortKey: it has the name'],
    [
      'a zone that does not hold the record',
      dns({ record: 'orders.example.org' }),
      'dns.record: orders.example.org is not in the zone example.com',
    ],
    ['a record that only ends like the zone', dns({ record: 'orders.myexample.com' }), 'is not in the zone'],
    ['a record at the top of its zone', dns({ record: 'example.com' }), 'dns.record: example.com is the top'],
    [
      'a name for the id of a zone',
      dns({ zone: { hostedZoneId: 'example.com' } }),
      'dns.zone: "example.com" is not',
    ],
    [
      'a replica without an endpoint',
      dns({ endpoints: { 'eu-west-1': 'a.example.com' } }),
      'while us-east-1 leads',
    ],
    [
      'an endpoint of a Region of its own invention',
      dns({ endpoints: { ...DNS.endpoints, 'us-west-2': 'x.example.com' } }),
      'dns.endpoints: us-west-2 is not a replica',
    ],
    [
      'Regions that the register cannot span',
      { register: 'mrsc' },
      'register: no MRSC table can span eu-west-1, us-east-1, eu-central-1: us-east-1 is not in the EU Region set. Use Register.quorum',
    ],
    [
      'more Regions than the register has',
      {
        register: 'mrsc',
        ...four,
        ...dns({ endpoints: Object.fromEntries(four.regions.map((each) => [each, 'a.example.com'])) }),
      },
      'register: an MRSC table has exactly 3 Regions, and the group has 4',
    ],
    [
      'a register that is none',
      { register: 'raft' as never },
      'register: "raft" is not a register. Use Register.quorum',
    ],
    ['answers that may not be kept', dns({ ttl: Duration.millis(0) }), 'dns.ttl: '],
    [
      'the ARN of a topic',
      { alarms: { topic: 'arn:aws:sns:eu-west-1:111122223333:on-call' } },
      'alarms.topic: ',
    ],
  ])('%s', (_, changes, message) => {
    expect(() => group(changes)).toThrow(
      expect.objectContaining({ name: 'UnderstudyError', message: expect.stringContaining(message) }),
    );
  });

  it('a zone that another stack of the app makes', () => {
    const app = new App();
    const zone = new HostedZone(new Stack(app, 'Dns'), 'Zone', { zoneName: 'example.com' });
    expect(() => group(dns({ zone }), app)).toThrow(
      'dns.zone: its id is known only once another stack is deployed',
    );
  });

  it('a stack for a scope', () => {
    expect(() => new ReplicationGroup(new Stack(new App(), 'S'), 'orders', propsWith())).toThrow('scope: ');
  });

  it('a table or a name that another group of the same account has', () => {
    const app = new App();
    group({}, app);
    expect(() => new ReplicationGroup(app, 'bills', propsWith())).toThrow(
      'engine.table: the group at orders has table orders of eu-west-1, too',
    );
    const own = propsWith({ group: 'orders', engine: Engine.dynamodb({ ...ENGINE, table: 'other' }) });
    expect(() => new ReplicationGroup(app, 'again', own)).toThrow(
      'group: the group at orders is called orders, too',
    );
  });

  it('no table or name of a group of another account, or of other Regions', () => {
    const app = new App();
    group({ account: '111122223333' }, app);
    const other = propsWith({ account: '444455556666' });
    expect(() => new ReplicationGroup(new Stage(app, 'test'), 'orders', other)).not.toThrow();
    const elsewhere = propsWith({
      account: '111122223333',
      regions: ['us-west-2', 'ca-central-1'],
      dns: { ...DNS, endpoints: { 'us-west-2': 'a.example.com', 'ca-central-1': 'b.example.com' } },
    });
    expect(() => new ReplicationGroup(app, 'bills', elsewhere)).not.toThrow();
  });

  it('no zone that was imported by its id alone, whose name nobody knows before the deployment', () => {
    const app = new App();
    const zone = HostedZone.fromHostedZoneId(new Stack(app, 'Dns'), 'Zone', 'Z0123456789');
    expect(() => group(dns({ zone }), app)).not.toThrow();
  });
});
