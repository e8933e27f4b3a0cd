// The README's group of databases in a CDK app of somebody who has installed the package: see scripts/check-package.ts.
import { App, Stack } from 'aws-cdk-lib';
import { SecurityGroup, Vpc } from 'aws-cdk-lib/aws-ec2';
import { DatabaseCluster } from 'aws-cdk-lib/aws-rds';
import { Engine, ReplicationGroup } from 'understudy';

const app = new App();
const account = '111122223333';

// What is there already, in one Region by the CDK's own constructs, in the others by name.
const theirs = new Stack(app, 'theirs', { env: { account, region: 'eu-west-1' } });
const vpc = Vpc.fromVpcAttributes(theirs, 'Vpc', {
  vpcId: 'vpc-0123abcd',
  availabilityZones: ['eu-west-1a', 'eu-west-1b'],
  privateSubnetIds: ['subnet-0123aaaa', 'subnet-0123bbbb'],
});
const cluster = DatabaseCluster.fromDatabaseClusterAttributes(theirs, 'Cluster', {
  clusterIdentifier: 'orders',
  clusterEndpointAddress: 'orders.cluster-c1.eu-west-1.rds.amazonaws.com',
  clusterResourceIdentifier: 'cluster-ABC123',
  port: 5432,
});
// Whom the database there is to let in.
const functions = new SecurityGroup(theirs, 'Functions', { vpc, allowAllOutbound: true });
const elsewhere = { vpc: { vpcId: 'vpc-0123abcd' }, subnets: ['subnet-0123cccc', 'subnet-0123dddd'] };
const database = { database: 'orders', role: 'understudy' };

new ReplicationGroup(app, 'orders', {
  regions: ['eu-west-1', 'us-east-1'],
  witness: 'eu-central-1',
  engine: Engine.postgres({
    databases: {
      'eu-west-1': { ...database, server: cluster },
      'us-east-1': {
        ...database,
        server: { host: 'orders.cluster-c2.us-east-1.rds.amazonaws.com' },
        secret: 'orders/understudy',
      },
    },
    network: {
      'eu-west-1': { vpc, securityGroups: [functions] },
      'us-east-1': elsewhere,
      'eu-central-1': elsewhere,
    },
    applicationRoles: ['app'],
  }),
  account,
});

app.synth();
