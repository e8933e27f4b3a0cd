import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { expect, test } from 'vitest';
import { lambdaTick } from '#lib/aws/lambda-tick.ts';

test('a function is told to run as its schedule tells it, and its end is not waited for', async () => {
  const asked: unknown[] = [];
  const server = createServer(async (request, response) => {
    asked.push([request.url, request.headers['x-amz-invocation-type'], await text(request)]);
    response.writeHead(202).end();
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const client = new LambdaClient({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
  try {
    await lambdaTick(client, 'understudy-orders-capture')();
    const url = '/2015-03-31/functions/understudy-orders-capture/invocations';
    expect(asked).toEqual([[url, 'Event', '{"kind":"tick"}']]);
  } finally {
    client.destroy();
    server.closeAllConnections();
    server.close();
  }
});
