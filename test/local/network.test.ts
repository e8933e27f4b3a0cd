import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Network } from '#lib/local/network.ts';
import { isListening, isRunning } from './until.ts';

describe('the network', () => {
  const server = createServer((request, response) => response.end(`served ${request.url}`));
  let targetPort = 0;
  beforeAll(async () => {
    await once(server.listen(0, '127.0.0.1'), 'listening');
    targetPort = (server.address() as AddressInfo).port;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  const ask = async (port: number | undefined): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${port}/x`, { headers: { connection: 'close' } });
    return await response.text();
  };
  const link = (from: string, to: string, service = 's3') => ({ from, to, service, targetPort });
  const AT_ONCE = { forwardMs: 0, backMs: 0 };

  test('opens a link per pair and service and sets them by pair', async () => {
    await using network = await Network.start();
    const ports = await network.open([
      link('a', 'b'),
      link('a', 'b', 'dynamo'),
      link('b', 'a'),
      link('c', 'a'),
    ]);
    expect(new Set(ports).size).toBe(4);
    await network.set('*', '*', AT_ONCE);
    expect(await Promise.all(ports.map(ask))).toEqual(Array(4).fill('served /x'));

    await network.set('a', 'b', { state: 'refuse' });
    const outcomes = await Promise.allSettled(ports.map(ask));
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled']);

    await network.set('a', '*', { state: 'up' });
    await network.set('*', 'a', { state: 'refuse' });
    const after = await Promise.allSettled(ports.map(ask));
    expect(after.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected', 'rejected']);
  });

  test('opens further links later and leaves SIGINT to its parent', async () => {
    await using network = await Network.start();
    const [first] = await network.open([link('a', 'b')], AT_ONCE);
    process.kill(network.pid, 'SIGINT');
    const [second] = await network.open([link('b', 'a')], AT_ONCE);
    expect(await ask(first)).toBe('served /x');
    expect(await ask(second)).toBe('served /x');
  });

  test('leaves nothing behind when it is closed', async () => {
    const network = await Network.start();
    const [port] = await network.open([link('a', 'b')]);
    await network.close();
    expect(isRunning(network.pid)).toBe(false);
    expect(await isListening(port ?? 0)).toBe(false);
    await expect(network.set('*', '*', { state: 'up' })).rejects.toThrow('SERVER_NOT_STARTED');
  });
});
