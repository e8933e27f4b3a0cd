import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsControl } from '#lib/aws/aws-control.ts';
import { LANE_0, parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { controlContract } from '../contracts/control.contract.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';

const GROUP = parseGroupId('orders');

const EU = parseRegionId('eu-west-1');
let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

async function open(group = GROUP): Promise<AwsControl> {
  return new AwsControl({
    dynamodb: server.dynamodb,
    region: EU,
    group,
    table: await server.createTable(CONTROL_KEY),
  });
}

controlContract('the DynamoDB control table', open);

describe('the DynamoDB control table', () => {
  test('keeps groups apart', async () => {
    const table = await server.createTable(CONTROL_KEY);
    const of = (group: string) =>
      new AwsControl({ dynamodb: server.dynamodb, region: EU, group: parseGroupId(group), table });
    const { lease } = await of('orders').takeLease(LANE_0);
    await of('stock').takeLease(LANE_0);
    await of('stock').takeLease(LANE_0);
    expect(await of('orders').saveApplyState(lease, {})).toBe('saved');
  });

  test.each([
    ['is no JSON', 'half a state {'],
    ['is of a later version', '{"v":2}'],
    ['has a position that is none', '{"v":1,"applied":{"lsn":"-1","epoch":1,"totalBytes":"0","commitMs":0}}'],
    [
      'has an epoch out of range',
      '{"v":1,"applied":{"lsn":"1","epoch":4294967296,"totalBytes":"0","commitMs":0}}',
    ],
    ['has a size that is none', '{"v":1,"applied":{"lsn":"1","epoch":1,"totalBytes":"many","commitMs":0}}'],
    ['lacks a part', '{"v":1,"snapshot":{"phase":"copy"}}'],
    [
      'is in a phase that there is none of',
      '{"v":1,"snapshot":{"phase":"done","startLsn":"1","startEpoch":1,"rowsCopied":0,"rowsEstimated":0}}',
    ],
  ])('refuses a stored state that %s, by name', async (_, state) => {
    const table = await server.createTable(CONTROL_KEY);
    await server.dynamodb.send(
      new PutItemCommand({
        TableName: table,
        Item: { id: { S: `${GROUP}#apply#0` }, token: { N: '1' }, state: { S: state } },
      }),
    );
    const control = new AwsControl({ dynamodb: server.dynamodb, region: EU, group: GROUP, table });
    await expect(control.applyState(LANE_0)).rejects.toMatchObject({
      code: 'STORED_ITEM_INVALID',
      message: expect.stringContaining(`${GROUP}#apply#0`),
    });
  });
});
