import { afterAll, beforeAll } from 'vitest';
import { AwsHistory } from '#lib/aws/aws-history.ts';
import { parseGroupId } from '#lib/domain/ids.ts';
import { historyContract } from '../contracts/history.contract.ts';
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

function open(): AwsHistory {
  return new AwsHistory({ dynamodb: server.dynamodb, group: parseGroupId(`group-${++groups}`), table });
}

historyContract('the control table', async () => ({ history: open(), other: open() }));
