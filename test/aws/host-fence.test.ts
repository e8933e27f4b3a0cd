import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { expect, test } from 'vitest';
import { hostFenceBy, lambdaHostFence } from '#lib/aws/host-fence.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import { type HookBehaviour, hostFenceContract } from '../contracts/host-fence.contract.ts';
import { AP, EU } from '../support/memory-group.ts';

const never = new Promise<never>(() => {});

hostFenceContract('a function of this process', async (behave, timeoutMs) => ({
  fence: hostFenceBy(async (request) => {
    const answer = behave(request);
    return answer === 'hang' ? never : answer;
  }, timeoutMs),
  [Symbol.asyncDispose]: async () => {},
}));

/** Lambda's own way to say that a function was invoked, over a socket. */
async function lambdaOf(behave: HookBehaviour) {
  const paths: string[] = [];
  const server = createServer(async (request, response) => {
    paths.push(decodeURIComponent(request.url ?? ''));
    let body = '';
    for await (const chunk of request) body += chunk;
    try {
      const answer = behave(JSON.parse(body));
      if (answer !== 'hang') response.end(JSON.stringify(answer));
    } catch (error) {
      response.setHeader('x-amz-function-error', 'Unhandled');
      response.end(JSON.stringify({ errorType: 'Error', errorMessage: (error as Error).message }));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = new LambdaClient({
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
  return {
    client,
    paths,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const ARN = 'arn:aws:lambda:us-east-1:111122223333:function:stop-hosts';

hostFenceContract('a Lambda function', async (behave, timeoutMs) => {
  const lambda = await lambdaOf(behave);
  return {
    fence: lambdaHostFence({ [EU]: ARN }, timeoutMs, () => lambda.client),
    [Symbol.asyncDispose]: () => lambda[Symbol.asyncDispose](),
  };
});

test('the function of the Region to be fenced is invoked, where it lives; a Region without one is unproven', async () => {
  await using lambda = await lambdaOf(() => ({ fenced: true }));
  const places: string[] = [];
  const fence = lambdaHostFence({ [EU]: ARN }, 5_000, (place) => {
    places.push(place);
    return lambda.client;
  });
  const request = { group: 'orders', epoch: parseEpoch(2), reason: 'r' };
  expect((await fence.fence({ ...request, region: EU })).proven).toBe(true);
  expect(places).toEqual(['us-east-1']);
  expect(lambda.paths).toEqual([`/2015-03-31/functions/${ARN}/invocations`]);
  expect(await fence.fence({ ...request, region: AP })).toMatchObject({
    proven: false,
    detail: expect.stringContaining(`none for ${AP}`),
  });
});
