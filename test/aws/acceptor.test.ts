import { type AttributeValue, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AwsAcceptor } from '#lib/aws/aws-acceptor.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { acceptorContract } from '../contracts/acceptor.contract.ts';
import { ballot } from '../support/acceptor-operations.ts';
import { CONTROL_KEY, startTestServer, type TestServer } from '../support/dynamodb.ts';

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

function freshGroup(): string {
  return `group-${++groups}`;
}

function open(group = freshGroup()): AwsAcceptor {
  return new AwsAcceptor({ dynamodb: server.dynamodb, group: parseGroupId(group), table });
}

acceptorContract('the item of a control table', async () => ({ acceptor: open(), others: [open()] }));

const VALUE =
  '{"epoch":1,"phase":"leading","leader":"eu-west-1","coordinator":"eu-west-1","run":"r","cooldownUntilMs":0}';

describe('the item of a control table', () => {
  test.each<readonly [string, Readonly<Record<string, AttributeValue>>]>([
    ['a ballot without a value', { ballot: { S: 'b' } }],
    ['a value that is no JSON', { ballot: { S: 'b' }, value: { S: '{"epoch":1' } }],
    [
      'a phase that there is none of',
      { ballot: { S: 'b' }, value: { S: VALUE.replace('leading', 'asleep') } },
    ],
    ['a leader that is no Region', { ballot: { S: 'b' }, value: { S: VALUE.replace('eu-west-1', 'home') } }],
    ['an epoch out of range', { ballot: { S: 'b' }, value: { S: VALUE.replace(':1', ':-1') } }],
    ['a vote that is no epoch', { vote: { N: '1.5' } }],
    ['a beat without a counter', { beatEpoch: { N: '1' }, leaseUntil: { N: '0' } }],
    ['a beat without a lease', { beatEpoch: { N: '1' }, beat: { N: '7' } }],
    ['an end without an epoch', { end: { S: '{"lsn":"1","commitMs":0}' } }],
    ['an end that is no position', { endEpoch: { N: '1' }, end: { S: '{"lsn":"-1","commitMs":0}' } }],
  ])('with %s is refused by name, to readers and to writers', async (_, attributes) => {
    const group = freshGroup();
    await server.dynamodb.send(
      new PutItemCommand({ TableName: table, Item: { id: { S: `${group}#acceptor` }, ...attributes } }),
    );
    const named = { code: 'STORED_ITEM_INVALID', message: expect.stringContaining(`${group}#acceptor`) };
    await expect(open(group).read()).rejects.toMatchObject(named);
    await expect(open(group).prepare(ballot(1))).rejects.toMatchObject(named);
  });

  test('that only has a promise is one that has accepted nothing', async () => {
    const group = freshGroup();
    await open(group).prepare(ballot(3));
    expect(await open(group).read()).toEqual({ promised: ballot(3) });
  });
});
