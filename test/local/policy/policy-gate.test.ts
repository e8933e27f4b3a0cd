import {
  BatchWriteItemCommand,
  DeleteItemCommand,
  DeleteResourcePolicyCommand,
  DescribeTableCommand,
  type DynamoDBClient,
  ExecuteStatementCommand,
  GetItemCommand,
  GetResourcePolicyCommand,
  PutItemCommand,
  PutResourcePolicyCommand,
  ScanCommand,
  TransactWriteItemsCommand,
  UpdateItemCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { holdUpWrites } from '#lib/local/policy/policy-gate.ts';
import { GatedDynamo, ROLE } from '../../support/gated-dynamodb.ts';

let gated: GatedDynamo;
let own: DynamoDBClient;
let other: DynamoDBClient;

beforeAll(async () => {
  gated = await GatedDynamo.start();
  own = gated.as('understudy');
  other = gated.as('application');
});
afterAll(() => gated[Symbol.asyncDispose]());

const named = (name: string) => expect.objectContaining({ name });
const item = { pk: { S: 'a' } };

/** A table that refuses all writes but those of the role. */
async function denied() {
  const table = await gated.createTable();
  const arn = (await own.send(new DescribeTableCommand({ TableName: table }))).Table!.TableArn!;
  const policy = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Deny',
        Principal: '*',
        Action: ['dynamodb:*Item', 'dynamodb:PartiQL*'],
        Resource: arn,
        Condition: { ArnNotEquals: { 'aws:PrincipalArn': [ROLE] } },
      },
    ],
  });
  await own.send(new PutResourcePolicyCommand({ ResourceArn: arn, Policy: policy }));
  return { table, arn, policy };
}

describe('writes that are held up', () => {
  test('are handed on once that is over, and nothing else waits', async () => {
    const TableName = await gated.createTable();
    const elsewhere = await gated.createTable();
    await holdUpWrites(gated.endpoint, TableName, 60_000);
    const late = own.send(new PutItemCommand({ TableName, Item: item }));
    await own.send(new PutItemCommand({ TableName: elsewhere, Item: item }));
    expect((await own.send(new GetItemCommand({ TableName, Key: item }))).Item).toBeUndefined();
    await holdUpWrites(gated.endpoint, TableName, 0);
    await late;
    expect((await own.send(new GetItemCommand({ TableName, Key: item }))).Item).toEqual(item);
  });
});

describe('a resource policy', () => {
  test('denies every kind of write of whoever it does not exempt, and lets the exempt write', async () => {
    const { table: TableName } = await denied();
    const writes = [
      new PutItemCommand({ TableName, Item: item }),
      new UpdateItemCommand({
        TableName,
        Key: item,
        UpdateExpression: 'SET n = :n',
        ExpressionAttributeValues: { ':n': { N: '1' } },
      }),
      new DeleteItemCommand({ TableName, Key: item }),
      new BatchWriteItemCommand({ RequestItems: { [TableName]: [{ PutRequest: { Item: item } }] } }),
      new TransactWriteItemsCommand({ TransactItems: [{ Put: { TableName, Item: item } }] }),
      new ExecuteStatementCommand({ Statement: `INSERT INTO "${TableName}" VALUE {'pk': 'b'}` }),
    ];
    for (const write of writes) {
      await expect(other.send(write as PutItemCommand)).rejects.toThrow(named('AccessDeniedException'));
    }
    expect((await other.send(new ScanCommand({ TableName }))).Items).toEqual([]);
    await own.send(writes[0] as PutItemCommand);
    expect((await other.send(new GetItemCommand({ TableName, Key: item }))).Item).toEqual(item);
  });

  test('says nothing about other tables', async () => {
    await denied();
    const TableName = await gated.createTable();
    await other.send(new PutItemCommand({ TableName, Item: item }));
  });

  test('is in force again after its keeper was killed, and until it is deleted', async () => {
    const { arn: ResourceArn, policy, table: TableName } = await denied();
    await gated.restartGate();
    const put = () => other.send(new PutItemCommand({ TableName, Item: item }));
    await expect(put()).rejects.toThrow(named('AccessDeniedException'));
    expect((await own.send(new GetResourcePolicyCommand({ ResourceArn }))).Policy).toBe(policy);
    await own.send(new DeleteResourcePolicyCommand({ ResourceArn }));
    await put();
    await expect(own.send(new GetResourcePolicyCommand({ ResourceArn }))).rejects.toThrow(
      named('PolicyNotFoundException'),
    );
  });

  test('is changed only from the revision that was expected', async () => {
    const { arn: ResourceArn, policy: Policy } = await denied();
    const { RevisionId } = await own.send(new GetResourcePolicyCommand({ ResourceArn }));
    const put = (ExpectedRevisionId: string, text = Policy) =>
      own.send(new PutResourcePolicyCommand({ ResourceArn, Policy: text, ExpectedRevisionId }));
    await expect(put('NO_POLICY')).rejects.toThrow(named('PolicyNotFoundException'));
    expect((await put(RevisionId!)).RevisionId).toBe(RevisionId);
    const next = await put(RevisionId!, Policy.replace('Deny', 'Allow'));
    expect(next.RevisionId).not.toBe(RevisionId);
    await expect(put(RevisionId!)).rejects.toThrow(named('PolicyNotFoundException'));
    await expect(
      own.send(new DeleteResourcePolicyCommand({ ResourceArn, ExpectedRevisionId: RevisionId! })),
    ).rejects.toThrow(named('PolicyNotFoundException'));
  });

  test.each([
    ['no JSON', '{'],
    [
      'a condition that is not understood',
      '{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}',
    ],
    ['more than 20 KB', JSON.stringify({ Statement: [], Id: 'x'.repeat(21_000) })],
  ])('of %s is refused', async (_, Policy) => {
    const { arn: ResourceArn } = await denied();
    await expect(own.send(new PutResourcePolicyCommand({ ResourceArn, Policy }))).rejects.toThrow(
      named('ValidationException'),
    );
  });

  test('of a table that is not there is refused by the server itself', async () => {
    const ResourceArn = 'arn:aws:dynamodb:eu-west-1:000000000000:table/nowhere';
    await expect(own.send(new GetResourcePolicyCommand({ ResourceArn }))).rejects.toThrow(
      named('ResourceNotFoundException'),
    );
  });
});
