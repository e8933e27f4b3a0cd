// The README's group in a CDK app of somebody who has installed the package: see scripts/check-package.ts.
import { App } from 'aws-cdk-lib';
import { AttributeType } from 'aws-cdk-lib/aws-dynamodb';
import { Engine, Profile, ReplicationGroup } from 'understudy';

const app = new App();
const zone = { hostedZoneId: 'Z0123456789ABCDEFGHIJ', zoneName: 'example.com' };

new ReplicationGroup(app, 'orders', {
  regions: ['eu-west-1', 'us-east-1'],
  witness: 'eu-central-1',
  engine: Engine.dynamodb({ table: 'orders', partitionKey: { name: 'pk', type: AttributeType.STRING } }),
  dns: {
    zone,
    record: 'orders.example.com',
    endpoints: { 'eu-west-1': 'eu.example.com', 'us-east-1': 'us.example.com' },
  },
  profile: Profile.balanced,
  alarms: { topic: 'on-call' },
});

app.synth();
