import {
  type DynamoDBClient,
  GetResourcePolicyCommand,
  PutItemCommand,
  PutResourcePolicyCommand,
} from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { TableFence, type TableFenceDeps } from '#lib/aws/table-fence.ts';
import { tryWrite } from '#lib/aws/try-write.ts';
import { GatedDynamo, ROLE } from '../support/gated-dynamodb.ts';
import { E1, E2, E3 } from '../support/log-history.ts';
import { PK } from '../support/stream-records.ts';

let gated: GatedDynamo;
let own: DynamoDBClient;
let other: DynamoDBClient;
let table: string;

beforeAll(async () => {
  gated = await GatedDynamo.start();
  own = gated.as('understudy');
  other = gated.as('application');
});
afterAll(() => gated[Symbol.asyncDispose]());
beforeEach(async () => {
  table = await gated.createTable();
});

/** Another process's fence each time: nothing is remembered. */
const fence = (given: Partial<TableFenceDeps> = {}) =>
  new TableFence({
    dynamodb: own,
    table,
    exempt: [ROLE],
    probe: () => tryWrite(other, table, PK),
    sleep: async () => {},
    ...given,
  });
const write = (dynamodb: DynamoDBClient) =>
  dynamodb.send(new PutItemCommand({ TableName: table, Item: { pk: { S: 'a' } } }));

describe('the fence of a table', () => {
  test("is proven by an application's write that it refuses, and lets Understudy write", async () => {
    await write(other);
    expect(await fence().raise(E1)).toEqual({ proven: true, detail: expect.stringContaining('refuses') });
    await expect(write(other)).rejects.toThrow(expect.objectContaining({ name: 'AccessDeniedException' }));
    await write(own);
    expect(await fence().lower(E1)).toBe('open');
    await write(other);
  });

  test('is unproven where nobody can try a write, or the write is taken', async () => {
    const blind = new TableFence({ dynamodb: own, table, exempt: [ROLE], sleep: async () => {} });
    expect((await blind.raise(E1)).proven).toBe(false);
    expect((await fence({ probe: () => tryWrite(own, table, PK) }).raise(E1)).proven).toBe(false);
  });

  test('is never lowered by an earlier epoch, nor made an earlier one by a late call', async () => {
    await fence().raise(E2);
    expect(await fence().lower(E1)).toBe('fenced');
    expect((await fence().raise(E1)).proven).toBe(true);
    expect(await fence().lower(E1)).toBe('fenced');
    await expect(write(other)).rejects.toThrow();
    expect(await fence().lower(E3)).toBe('open');
    await write(other);
  });

  test('a late lowering that read the policy before a later epoch raised its fence leaves that one up', async () => {
    await fence().raise(E1);
    // The policy is read, and before it is changed the next epoch's fence is raised.
    let meanwhile = async () => {
      meanwhile = async () => {};
      await fence().raise(E2);
    };
    const slow = new Proxy(own, {
      get: (target, name) =>
        name === 'send'
          ? async (command: GetResourcePolicyCommand) => {
              const answer = await target.send(command);
              if (command instanceof GetResourcePolicyCommand) await meanwhile();
              return answer;
            }
          : Reflect.get(target, name, target),
    });
    expect(await fence({ dynamodb: slow }).lower(E1)).toBe('fenced');
    await expect(write(other)).rejects.toThrow();
  });

  test('stands beside what the user has in the policy, and leaves it when it goes', async () => {
    const ResourceArn = `arn:aws:dynamodb:eu-west-1:000000000000:table/${table}`;
    const theirs = JSON.stringify({
      Version: '2012-10-17',
      Statement: [
        {
          Sid: 'Audit',
          Effect: 'Allow',
          Principal: { AWS: 'arn:aws:iam::444455556666:root' },
          Action: 'dynamodb:GetItem',
          Resource: '*',
        },
      ],
    });
    await own.send(new PutResourcePolicyCommand({ ResourceArn, Policy: theirs }));
    await fence().raise(E1);
    await fence().lower(E1);
    const { Policy } = await own.send(new GetResourcePolicyCommand({ ResourceArn }));
    expect(JSON.parse(Policy!)).toEqual(JSON.parse(theirs));
  });

  test('a write that is tried is never made', async () => {
    expect(await tryWrite(other, table, PK)).toBe('taken');
    await fence().raise(E1);
    expect(await tryWrite(other, table, PK)).toBe('refused');
  });
});
