import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AwsDivergences } from '#lib/aws/aws-divergences.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseGroup } from '#lib/domain/topology.ts';
import { divergencesContract } from '../contracts/divergences.contract.ts';
import { E1 } from '../support/log-history.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const config = parseGroup({
  group: 'orders',
  engine: { kind: 'dynamodb', table: 'orders', key: [{ name: 'pk', type: 'S' }] },
  regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
});

let servers: RegionServers;
let table: string;
let bucket: string;
let groups = 0;
beforeAll(async () => {
  servers = await startRegionServers(parseRegionId('eu-west-1'));
  ({ controlTable: table, bucket } = await servers.provision(config));
});
afterAll(async () => {
  await servers?.[Symbol.asyncDispose]();
});

function open(group = `group-${++groups}`): AwsDivergences {
  const { dynamodb, s3 } = servers.clients;
  return new AwsDivergences({ dynamodb, s3, group: parseGroupId(group), table, bucket });
}

divergencesContract('the control table and the log bucket', async () => ({
  divergences: open(),
  other: open(),
}));

test.each([
  ['a report that is no JSON', { report: { S: '{' } }],
  ['a report without a hash', { report: { S: '{"changes":1,"keys":1,"savedAtMs":0}' } }],
  ['a discard without a name', { discarded: { S: '{"reason":"r","atMs":0}' } }],
])('%s in the control table is refused by name', async (_, attributes) => {
  const Item = { id: { S: 'spoiled#divergence#1' }, ...attributes };
  await servers.clients.dynamodb.send(new PutItemCommand({ TableName: table, Item }));
  await expect(open('spoiled').of(E1)).rejects.toMatchObject({
    code: 'STORED_ITEM_INVALID',
    message: expect.stringContaining('spoiled#divergence#1'),
  });
});
