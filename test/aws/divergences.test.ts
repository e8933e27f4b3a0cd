import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AwsDivergences } from '#lib/aws/aws-divergences.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { divergencesContract } from '../contracts/divergences.contract.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';
import { E1 } from '../support/log-history.ts';

let server: TestServer;
let table: string;
let groups = 0;
beforeAll(async () => {
  server = await startTestServer();
  table = await server.createTable(CONTROL_KEY);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

function open(group = `group-${++groups}`): AwsDivergences {
  return new AwsDivergences({ dynamodb: server.dynamodb, group: parseGroupId(group), table });
}

divergencesContract('the control table', async () => ({ divergences: open(), other: open() }));

test.each([
  ['a report that is no JSON', { report: { S: '{' } }],
  ['a report without a hash', { report: { S: '{"changes":1,"keys":1,"savedAtMs":0}' } }],
  ['a discard without a name', { discarded: { S: '{"reason":"r","atMs":0}' } }],
])('%s in the control table is refused by name', async (_, attributes) => {
  const Item = { id: { S: 'spoiled#divergence#1' }, ...attributes };
  await server.dynamodb.send(new PutItemCommand({ TableName: table, Item }));
  await expect(open('spoiled').of(E1)).rejects.toMatchObject({
    code: 'STORED_ITEM_INVALID',
    message: expect.stringContaining('spoiled#divergence#1'),
  });
});
