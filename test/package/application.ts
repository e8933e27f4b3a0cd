// An application and its test, of somebody who has installed the package: see scripts/check-package.ts.
import { connectLeader } from 'understudy/client';
import { EmbeddedCloud, parseGroup, parseRegionId } from 'understudy/testing';

const orders = connectLeader({ group: 'orders', name: 'orders.example.com', ttlSeconds: 5 });
if (typeof orders.write !== 'function') throw new Error('the client cannot write');

const leader = parseRegionId('eu-west-1');
const group = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
});
const cloud = await EmbeddedCloud.start({ group, leader });
try {
  const { epoch } = await cloud.peers().control(leader).role();
  console.log(`epoch ${epoch}`);
} finally {
  await cloud.stop();
}
