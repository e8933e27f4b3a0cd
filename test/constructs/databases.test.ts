import { App, Stack } from 'aws-cdk-lib';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { type IVpc, SubnetType, Vpc } from 'aws-cdk-lib/aws-ec2';
import {
  AuroraPostgresEngineVersion,
  ClusterInstance,
  DatabaseCluster,
  DatabaseClusterEngine,
  DatabaseInstance,
} from 'aws-cdk-lib/aws-rds';
import { AwsSolutionsChecks } from 'cdk-nag';
import { beforeAll, describe, expect, it } from 'vitest';
import { readConfig } from '#lib/aws/config.ts';
import { Engine } from '#lib/constructs/engine.ts';
import type { ReplicationGroupProps } from '#lib/constructs/group-props.ts';
import type { PostgresEngineProps } from '#lib/constructs/postgres-props.ts';
import { ReplicationGroup } from '#lib/constructs/replication-group.ts';
import { failoverDependencies } from '#lib/domain/failover-dependencies.ts';
import { temporaryDirectory } from '../local/until.ts';
import { makeCertificates } from '../support/postgres-tls.ts';
import { ACCOUNT, CODE, settingsOf, testApp } from './stacks.ts';

const EU_KEY = `arn:aws:kms:eu-west-1:${ACCOUNT}:key/11111111-2222-3333-4444-555555555555`;

const PROPS: PostgresEngineProps = {
  databases: {
    'eu-west-1': {
      server: { host: 'orders.cluster-c1.eu-west-1.rds.amazonaws.com' },
      database: 'orders',
      role: 'understudy',
      secret: 'orders/understudy',
      secretKey: EU_KEY,
    },
    'us-east-1': {
      server: { host: 'orders.cluster-c2.us-east-1.rds.amazonaws.com', port: 5433 },
      database: 'orders',
      role: 'understudy',
      resourceId: 'cluster-ABC123',
    },
  },
  network: Object.fromEntries(
    ['eu-west-1', 'us-east-1', 'eu-central-1'].map((region) => [
      region,
      { vpc: { vpcId: 'vpc-0123abcd' }, subnets: ['subnet-0123aaaa', 'subnet-0123bbbb'] },
    ]),
  ),
  applicationRoles: ['app'],
};

function made(engine: Partial<PostgresEngineProps> = {}, changes: Partial<ReplicationGroupProps> = {}) {
  const { app, templates } = testApp();
  const group = new ReplicationGroup(app, 'orders', {
    regions: ['eu-west-1', 'us-east-1'],
    witness: 'eu-central-1',
    engine: Engine.postgres({ ...PROPS, ...engine }),
    account: ACCOUNT,
    code: CODE,
    ...changes,
  });
  const [eu, us, witness] = templates(group);
  return { app, group, eu: eu!, us: us!, witness: witness! };
}

let group: ReturnType<typeof made>;
beforeAll(() => {
  group = made();
});

const functionsOf = (template: Template) =>
  Object.values(template.findResources('AWS::Lambda::Function')).map(({ Properties }) => Properties);

type Statement = {
  Effect: string;
  Action: string | string[];
  Resource: string | string[];
  Condition?: object;
};

/** What lets the role of a function into databases and networks. */
function letsIn(template: Template, id: string): readonly Statement[] {
  return Object.entries(template.findResources('AWS::IAM::Policy'))
    .filter(([name]) => name.startsWith(`${id}Role`))
    .flatMap(([, { Properties }]) => Properties.PolicyDocument.Statement as Statement[])
    .filter(({ Action }) => /(secretsmanager|rds-db|kms|ec2):/.test([Action].flat().join()));
}

const NETWORKED = ['capture', 'apply', 'sentinel', 'failover', 'retention'];
const EU_SECRET = `arn:aws:secretsmanager:eu-west-1:${ACCOUNT}:secret:orders/understudy-??????`;
const US_USER = `arn:aws:rds-db:us-east-1:${ACCOUNT}:dbuser:cluster-ABC123/understudy`;
const READ_EU = [
  { Effect: 'Allow', Action: 'secretsmanager:GetSecretValue', Resource: EU_SECRET },
  {
    Effect: 'Allow',
    Action: 'kms:Decrypt',
    Resource: EU_KEY,
    Condition: {
      StringEquals: {
        'kms:ViaService': [{ 'Fn::Join': ['', ['secretsmanager.eu-west-1.', { Ref: 'AWS::URLSuffix' }]] }],
      },
    },
  },
];
const INTO_US = { Effect: 'Allow', Action: 'rds-db:connect', Resource: US_USER };

describe('a group of databases', () => {
  it('tells its functions where the databases are and how they are let in, and no password', () => {
    const config = readConfig({ UNDERSTUDY_CONFIG: settingsOf(group.eu, 'understudy-orders-sentinel') });
    expect(config.engine).toEqual({
      kind: 'postgres',
      databases: {
        'eu-west-1': 'postgres://understudy@orders.cluster-c1.eu-west-1.rds.amazonaws.com:5432/orders',
        'us-east-1': 'postgres://understudy@orders.cluster-c2.us-east-1.rds.amazonaws.com:5433/orders',
      },
      logins: { 'eu-west-1': { kind: 'secret', id: 'orders/understudy' }, 'us-east-1': { kind: 'iam' } },
      authority: 'rds',
      publication: 'understudy',
      slot: 'understudy',
      applicationRoles: ['app'],
    });
    for (const template of [group.eu, group.us, group.witness]) {
      for (const { Environment } of functionsOf(template)) {
        // Lambda takes 4 KiB.
        expect(JSON.stringify(Environment ?? {}).length).toBeLessThan(3_500);
      }
    }
  });

  it.each([
    ['capture', 'eu', READ_EU],
    ['capture', 'us', [INTO_US]],
    ...['apply', 'sentinel', 'failover', 'retention'].flatMap((name) =>
      (['eu', 'us'] as const).map((at) => [name, at, [...READ_EU, INTO_US]] as const),
    ),
    ['sentinel', 'witness', [...READ_EU, INTO_US]],
    ['relay', 'eu', []],
    ['DeployCheckdeploycheck', 'eu', []],
  ] as const)('lets %s in %s into the databases that it needs, and no further', (name, at, allowed) => {
    const found = letsIn(group[at], name).filter(({ Action }) => !String(Action).includes('ec2:'));
    expect(found).toHaveLength(allowed.length);
    expect(found).toEqual(expect.arrayContaining([...allowed]));
  });

  it('puts the functions that need a database into the network of their Region, and lets their code do nothing to it', () => {
    const { eu } = group;
    eu.hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupName: 'understudy-orders-functions',
      VpcId: 'vpc-0123abcd',
      SecurityGroupIngress: Match.absent(),
      SecurityGroupEgress: [443, 5432, 5433].map((port) =>
        Match.objectLike({ FromPort: port, ToPort: port }),
      ),
    });
    for (const { FunctionName, VpcConfig } of functionsOf(eu)) {
      const name = FunctionName.replace('understudy-orders-', '');
      if (!NETWORKED.includes(name)) {
        expect([name, VpcConfig]).toEqual([name, undefined]);
        continue;
      }
      expect(VpcConfig).toMatchObject({ SubnetIds: ['subnet-0123aaaa', 'subnet-0123bbbb'] });
      const [allow, deny] = letsIn(eu, name).filter(({ Action }) => String(Action).includes('ec2:'));
      expect(allow).toMatchObject({ Effect: 'Allow', Resource: '*' });
      expect(deny).toEqual({
        Effect: 'Deny',
        Action: [allow!.Action].flat().filter((each) => each.startsWith('ec2:')),
        Resource: '*',
        Condition: {
          ArnEquals: {
            'lambda:SourceFunctionArn': `arn:aws:lambda:eu-west-1:${ACCOUNT}:function:${FunctionName}`,
          },
        },
      });
    }
    expect(functionsOf(eu).map(({ FunctionName }) => FunctionName)).not.toContain('understudy-orders-probe');
  });

  it('has a slot read on a tick, with an invocation that reads into the next one', () => {
    const { eu } = group;
    eu.resourceCountIs('AWS::Lambda::EventSourceMapping', 2);
    eu.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'understudy-orders-capture',
      Timeout: 75,
    });
    eu.hasResourceProperties('AWS::Events::Rule', {
      Name: 'understudy-orders-tick',
      Targets: Match.arrayWith([
        Match.objectLike({ Arn: { 'Fn::GetAtt': [Match.stringLikeRegexp('^captureFunction'), 'Arn'] } }),
      ]),
    });
    eu.resourceCountIs('AWS::DynamoDB::Table', 2);
  });

  it('has its sentinel run capture as soon as its Region leads', () => {
    const { eu } = group;
    const text = settingsOf(eu, 'understudy-orders-sentinel');
    expect(readConfig({ UNDERSTUDY_CONFIG: text }).captureFunction).toBe('understudy-orders-capture');
    expect(settingsOf(eu, 'understudy-orders-apply')).not.toContain('captureFunction');
    eu.hasResourceProperties('AWS::IAM::Policy', {
      PolicyName: Match.stringLikeRegexp('^sentinelRole'),
      PolicyDocument: {
        Statement: Match.arrayWith([
          {
            Effect: 'Allow',
            Action: 'lambda:InvokeFunction',
            Resource: { 'Fn::GetAtt': [Match.stringLikeRegexp('^captureFunction'), 'Arn'] },
          },
        ]),
      },
    });
  });

  it('is warned of what the server keeps for a slot, and of a slot that is lost', () => {
    const alarm = (name: string, more: object) =>
      group.us.hasResourceProperties('AWS::CloudWatch::Alarm', {
        AlarmName: `understudy-orders-${name}`,
        AlarmDescription: Match.stringLikeRegexp('^\\[page\\] '),
        Namespace: 'Understudy',
        ...more,
      });
    alarm('slot-retained', { MetricName: 'SlotRetainedBytes', Threshold: 5 * 2 ** 30 });
    alarm('slot-lost', { MetricName: 'SlotsLost', Threshold: 0 });
    alarm('capture-age', { MetricName: 'CaptureAgeSeconds', Threshold: 60 });
    const names = Object.values(group.us.findResources('AWS::CloudWatch::Alarm')).map(
      ({ Properties }) => Properties.AlarmName,
    );
    expect(new Set(names).size).toBe(names.length);
    expect(names).not.toContain('understudy-orders-probe-errors');
  });

  it('shows both on its dashboard', () => {
    const [dashboard] = Object.values(group.eu.findResources('AWS::CloudWatch::Dashboard'));
    const body = JSON.stringify(dashboard!.Properties.DashboardBody);
    for (const name of ['SlotRetainedBytes', 'SlotsLost']) expect(body).toContain(name);
    expect(body).not.toContain('Write units');
  });

  it('leaves no finding of the AWS Solutions checks unexplained', () => {
    const { app } = made({}, { drill: { schedule: 'cron(0 10 1 * ? *)', approvedBy: 'the test' } });
    expect(new AwsSolutionsChecks(app).validateScope(app).violations).toEqual([]);
  });

  it('refers to nothing of another Region when it is deployed', () => {
    for (const template of [group.eu, group.us, group.witness]) {
      expect(JSON.stringify(template.toJSON())).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
    }
  });
});

/** A cluster with a network of its own in a stack of an app's. */
function madeIn(app: App, region: string): DatabaseCluster {
  const stack = new Stack(app, `Theirs-${region}`, { env: { account: ACCOUNT, region } });
  return new DatabaseCluster(stack, 'Cluster', {
    engine: DatabaseClusterEngine.auroraPostgres({ version: AuroraPostgresEngineVersion.VER_16_4 }),
    vpc: new Vpc(stack, 'Vpc') as unknown as IVpc,
    writer: ClusterInstance.serverlessV2('writer'),
  });
}

describe('a group takes', () => {
  it('clusters and instances that were imported, with the ids by which IAM knows them', () => {
    const stack = new Stack(new App(), 'Theirs', { env: { account: ACCOUNT, region: 'eu-west-1' } });
    const cluster = DatabaseCluster.fromDatabaseClusterAttributes(stack, 'Cluster', {
      clusterIdentifier: 'orders',
      clusterEndpointAddress: 'Orders.cluster-c1.eu-west-1.rds.amazonaws.com',
      port: 5432,
      clusterResourceIdentifier: 'cluster-XYZ',
    });
    const instance = DatabaseInstance.fromDatabaseInstanceAttributes(stack, 'Instance', {
      instanceIdentifier: 'orders',
      instanceEndpointAddress: 'orders.c2.us-east-1.rds.amazonaws.com',
      port: 5432,
      securityGroups: [],
      instanceResourceId: 'db-XYZ',
    });
    const database = { database: 'orders', role: 'understudy' };
    const { eu } = made({
      databases: {
        'eu-west-1': { server: cluster, ...database },
        'us-east-1': { server: instance, ...database },
      },
    });
    expect(letsIn(eu, 'apply').find(({ Action }) => Action === 'rds-db:connect')?.Resource).toEqual([
      `arn:aws:rds-db:eu-west-1:${ACCOUNT}:dbuser:cluster-XYZ/understudy`,
      `arn:aws:rds-db:us-east-1:${ACCOUNT}:dbuser:db-XYZ/understudy`,
    ]);
    const { engine } = readConfig({ UNDERSTUDY_CONFIG: settingsOf(eu, 'understudy-orders-capture') });
    expect(engine).toMatchObject({
      databases: {
        'eu-west-1': 'postgres://understudy@orders.cluster-c1.eu-west-1.rds.amazonaws.com:5432/orders',
      },
    });
  });

  it('a cluster and a network that are made in the same app: it lets functions in, and other Regions wait for nothing', () => {
    const { app, templates } = testApp();
    const server = madeIn(app, 'eu-west-1');
    const made = new ReplicationGroup(app, 'orders', {
      regions: ['eu-west-1', 'us-east-1'],
      witness: 'eu-central-1',
      engine: Engine.postgres({
        ...PROPS,
        databases: {
          ...PROPS.databases,
          'eu-west-1': {
            server,
            address: { host: 'Orders.cluster-c1.eu-west-1.rds.amazonaws.com' },
            database: 'orders',
            role: 'understudy',
            secret: 'orders/understudy',
          },
        },
        network: { ...PROPS.network, 'eu-west-1': { vpc: server.vpc } },
      }),
      account: ACCOUNT,
      code: CODE,
    });
    const violations = new AwsSolutionsChecks(app).validateScope(made).violations;
    expect(violations).toEqual([]);
    const [eu, us, witness] = templates(made);
    const imported = (name: string) => ({ 'Fn::ImportValue': Match.stringLikeRegexp(name) });
    eu!.resourceCountIs('AWS::EC2::SecurityGroupIngress', 1);
    eu!.hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
      GroupId: imported('ClusterSecurityGroup'),
      SourceSecurityGroupId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^DatabasesSecurityGroup'), 'GroupId'] },
      IpProtocol: 'tcp',
      FromPort: 5432,
      ToPort: 5432,
    });
    eu!.hasResourceProperties('AWS::EC2::SecurityGroup', { VpcId: imported('Vpc') });
    for (const template of [eu!, us!, witness!]) {
      const { engine } = readConfig({
        UNDERSTUDY_CONFIG: settingsOf(template, 'understudy-orders-sentinel'),
      });
      expect(engine).toMatchObject({
        databases: {
          'eu-west-1': 'postgres://understudy@orders.cluster-c1.eu-west-1.rds.amazonaws.com:5432/orders',
        },
      });
      // What the cluster's own password is, nobody is told.
      expect(JSON.stringify(template.toJSON())).not.toMatch(/resolve:secretsmanager|SecretString/);
    }
    for (const template of [us!, witness!]) {
      expect(JSON.stringify(template.toJSON())).not.toMatch(/Fn::ImportValue|Fn::GetStackOutput/);
    }
  });

  it('a VPC of its Region, of which it uses the private subnets that have a way out, and security groups', () => {
    const app = new App();
    const stack = new Stack(app, 'Theirs', { env: { account: ACCOUNT, region: 'eu-west-1' } });
    const vpc = Vpc.fromVpcAttributes(stack, 'Vpc', {
      vpcId: 'vpc-0123abcd',
      availabilityZones: ['eu-west-1a', 'eu-west-1b'],
      publicSubnetIds: ['subnet-0123cccc', 'subnet-0123dddd'],
      privateSubnetIds: ['subnet-0123eeee', 'subnet-0123ffff'],
    });
    const network = { ...PROPS.network, 'eu-west-1': { vpc, securityGroups: ['sg-0123abcd'] } };
    const { eu } = made({ network });
    eu.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'understudy-orders-sentinel',
      VpcConfig: { SubnetIds: ['subnet-0123eeee', 'subnet-0123ffff'], SecurityGroupIds: ['sg-0123abcd'] },
    });
    eu.resourceCountIs('AWS::EC2::SecurityGroup', 0);
    const publicOnly = { vpc, subnets: { subnetType: SubnetType.PUBLIC } };
    expect(() => made({ network: { ...PROPS.network, 'eu-west-1': publicOnly } })).toThrow(
      'CONFIG_INVALID: engine.network.eu-west-1.subnets: a function gets no public address',
    );
    const isolated = { vpc, subnets: { subnetType: SubnetType.PRIVATE_ISOLATED } };
    expect(() => made({ network: { ...PROPS.network, 'eu-west-1': isolated } })).toThrow(
      'CONFIG_INVALID: engine.network.eu-west-1.subnets: ',
    );
  });

  it('the authority of other servers, which comes as a file beside the code', async () => {
    await using folder = await temporaryDirectory();
    const [authority, server] = await makeCertificates(folder.path);
    const { eu } = made({ authority });
    eu.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'understudy-orders-apply',
      Layers: [{ Ref: Match.stringLikeRegexp('^DatabasesAuthority') }],
    });
    const { engine } = readConfig({ UNDERSTUDY_CONFIG: settingsOf(eu, 'understudy-orders-capture') });
    expect(engine).toMatchObject({ authority: '/opt/understudy/authority.pem' });
    expect(() => made({ authority: server })).toThrow('the certificate of no authority');
    expect(() => made({ authority: 'localhost' })).toThrow('engine.authority: it is not PEM');
    expect(() => made({ authority: authority.replace('MII', 'MIJ') })).toThrow('cannot be read');
  });

  it('no path of a failover that needs a Region alone', () => {
    const stacks = (['eu', 'us'] as const).map((name) => ({
      region: name === 'eu' ? 'eu-west-1' : 'us-east-1',
      template: group[name].toJSON(),
    }));
    expect(failoverDependencies(stacks, 'fast')).toEqual([]);
  });
});

describe('a group of databases is refused, by the name of the prop, with', () => {
  const database = (changes: object) => ({
    databases: { ...PROPS.databases, 'eu-west-1': { ...PROPS.databases['eu-west-1']!, ...changes } },
  });
  const without = (names: readonly string[], changes: object = {}) => {
    const rest = Object.entries(PROPS.databases['eu-west-1']!).filter(([name]) => !names.includes(name));
    return { databases: { ...PROPS.databases, 'eu-west-1': { ...Object.fromEntries(rest), ...changes } } };
  };
  const network = (changes: object) => ({ network: { ...PROPS.network, 'eu-west-1': changes } });
  const deployed = new DatabaseCluster(new Stack(new App(), 'Theirs'), 'Cluster', {
    engine: DatabaseClusterEngine.auroraPostgres({ version: AuroraPostgresEngineVersion.VER_16_4 }),
    vpc: new Vpc(new Stack(new App(), 'Other'), 'Vpc') as unknown as IVpc,
    writer: ClusterInstance.serverlessV2('writer'),
  });
  const elsewhere = madeIn(new App(), 'us-east-1');
  const prop = 'engine.databases.eu-west-1';

  it.each<[string, object, string]>([
    ['no database in a Region', { databases: {} }, 'engine.databases: it says nothing of eu-west-1'],
    [
      'a database in a Region that is none of the group',
      { databases: { ...PROPS.databases, 'eu-central-1': PROPS.databases['us-east-1'] } },
      'engine.databases: eu-central-1 has no part in it',
    ],
    [
      'no network for the witness, whose sentinel tries whether the leader takes writes',
      { network: { 'eu-west-1': PROPS.network['eu-west-1'], 'us-east-1': PROPS.network['us-east-1'] } },
      'engine.network: it says nothing of eu-central-1',
    ],
    [
      'a cluster that is made by the same app, and no address',
      database({ server: deployed }),
      `${prop}.address: where Theirs/Cluster is, is known only once it is deployed`,
    ],
    [
      'an address that is known only once it is deployed',
      database({ server: deployed, address: { host: deployed.clusterEndpoint.hostname } }),
      `${prop}.address: where`,
    ],
    [
      'an address beside a host',
      database({ address: { host: 'db' } }),
      `${prop}.address: server says where it is`,
    ],
    [
      'a cluster that is made in another Region',
      database({ server: elsewhere, address: { host: 'db' } }),
      `${prop}.server: it is made in us-east-1`,
    ],
    [
      'a secret that is made by the same app, by its ARN',
      database({
        server: deployed,
        address: { host: 'db' },
        secret: deployed.secret!.secretArn,
        secretKey: undefined,
      }),
      `${prop}.secret: it is known only once it is deployed`,
    ],
    [
      'a cluster that is made by the same app, and no id for IAM',
      without(['secret', 'secretKey'], { server: deployed, address: { host: 'db' } }),
      `${prop}.resourceId: it is known only once`,
    ],
    [
      'an address in place of a host',
      database({ server: { host: 'postgres://a@b/c' } }),
      `${prop}.server: "postgres://a@b/c"`,
    ],
    ['no port', database({ server: { host: 'db', port: 0 } }), `${prop}.server: 0 is not a port`],
    ['a database without a name', database({ database: '' }), `${prop}.database: it is no name`],
    ['a password for a secret', database({ secret: 'p4ss word!' }), `${prop}.secret: it is neither the name`],
    [
      'a secret in another Region',
      database({ secret: `arn:aws:secretsmanager:us-east-1:${ACCOUNT}:secret:orders-AbCdEf` }),
      `${prop}.secret: it lies in us-east-1`,
    ],
    [
      'the key of another Region',
      database({ secretKey: EU_KEY.replace('eu-west-1', 'us-east-1') }),
      `${prop}.secretKey: it is not`,
    ],
    ['a secret and the id for IAM', database({ resourceId: 'db-ABC' }), `${prop}.resourceId: it is for IAM`],
    ['a key and no secret', without(['secret']), `${prop}.secretKey: there is no secret`],
    [
      'neither a secret nor the id for IAM',
      without(['secret', 'secretKey']),
      `${prop}.resourceId: nothing says`,
    ],
    [
      'no id for IAM',
      without(['secret', 'secretKey'], { resourceId: 'orders' }),
      `${prop}.resourceId: nothing says`,
    ],
    [
      'subnets that nobody names',
      network({ vpc: { vpcId: 'vpc-0123abcd' } }),
      'engine.network.eu-west-1.subnets: the id of a VPC',
    ],
    [
      'no subnet',
      network({ vpc: { vpcId: 'vpc-0123abcd' }, subnets: [] }),
      'engine.network.eu-west-1.subnets: there is none',
    ],
    [
      'an id that is none',
      network({ vpc: { vpcId: 'orders' }, subnets: ['subnet-01'] }),
      'engine.network.eu-west-1: "orders" is not an id',
    ],
    ['a name that no slot may have', { slot: 'Orders' }, 'engine.slot: "Orders" is not the name'],
  ])('%s', (_, changes, message) => {
    const attempt = () => made(changes as Partial<PostgresEngineProps>);
    expect(attempt).toThrow(`CONFIG_INVALID: ${message}`);
  });

  it('writes that go on without a lease, which its guard would refuse', () => {
    expect(() => made({}, { onLeaseLost: 'continue' })).toThrow(
      'CONFIG_INVALID: onLeaseLost: the lease guard',
    );
    expect(() => made({ guard: 'off' }, { onLeaseLost: 'continue' })).not.toThrow();
  });

  it('the database of another group', () => {
    const { app } = testApp();
    const props = {
      regions: ['eu-west-1', 'us-east-1'],
      witness: 'eu-central-1',
      engine: Engine.postgres(PROPS),
      account: ACCOUNT,
      code: CODE,
    };
    new ReplicationGroup(app, 'orders', props);
    expect(() => new ReplicationGroup(app, 'others', props)).toThrow(
      'CONFIG_INVALID: engine.databases: the group at orders has the database of eu-west-1, too',
    );
  });
});
