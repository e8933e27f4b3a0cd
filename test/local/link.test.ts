import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Link, type LinkSettings } from '#lib/local/link.ts';
import { HIGH_WATER } from '#lib/local/link-connection.ts';
import { freePort } from '#lib/local/ports.ts';
import { ManualScheduler } from './manual-scheduler.ts';
import { until } from './until.ts';

const AT_ONCE: Partial<LinkSettings> = { forwardMs: 0, backMs: 0 };

/** One end of a connection with all that it has heard. */
class Ear {
  readonly socket: Socket;
  readonly #chunks: Buffer[] = [];
  ended = false;
  closed = false;
  error: string | undefined;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes) => this.#chunks.push(bytes));
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code;
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get text(): string {
    return String(this.bytes);
  }
}

describe('a link', () => {
  const cleanUps: (() => unknown)[] = [];
  afterEach(async () => {
    for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
  });

  /** A server that accepts (and answers only what a test has it answer), and a link to it. */
  async function setup(settings: Partial<LinkSettings>, scheduler?: ManualScheduler) {
    const accepted: Ear[] = [];
    const server = createServer({ allowHalfOpen: true }, (socket) => accepted.push(new Ear(socket)));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port: targetPort } = server.address() as AddressInfo;
    const port = await freePort();
    const link = await Link.open({ port, targetPort, settings, ...(scheduler && { scheduler }) });
    cleanUps.push(
      () => server.close(),
      () => {
        for (const { socket } of accepted) socket.destroy();
      },
      () => link.close(),
    );
    const dial = async () => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const client = new Ear(socket);
      await once(socket, 'connect');
      cleanUps.push(() => socket.destroy());
      return client;
    };
    /** A client and the server's end of its connection, with a byte from each to the other. */
    const dialThrough = async () => {
      const earlier = accepted.length;
      const client = await dial();
      client.socket.write('c');
      await until('the connection reaches the server', () => accepted[earlier]?.text === 'c');
      const served = accepted[earlier] as Ear;
      served.socket.write('s');
      await until('the server is heard', () => client.text === 's');
      return { client, served };
    };
    return { link, accepted, server, dial, dialThrough };
  }

  test('costs one way to connect, a round trip to be connected, and one way for each byte', async () => {
    const scheduler = new ManualScheduler();
    const { accepted, dial } = await setup({ forwardMs: 30, backMs: 50 }, scheduler);
    const client = await dial();
    client.socket.write('ping');
    await until('the request to connect is under way', () => scheduler.nextAt === 30);
    scheduler.advance(30);
    await until('the answer is under way', () => scheduler.nextAt === 80);
    await until('the server has a connection', () => accepted.length === 1);
    scheduler.advance(50);
    await until('the bytes are under way', () => scheduler.nextAt === 110);
    scheduler.advance(29);
    expect(accepted[0]?.text).toBe('');
    scheduler.advance(1);
    await until('the bytes are there', () => accepted[0]?.text === 'ping');
    accepted[0]?.socket.write('pong');
    await until('the answer is under way', () => scheduler.nextAt === 160);
    scheduler.advance(50);
    await until('the answer is there', () => client.text === 'pong');
  });

  test('carries bulk both ways, and the end of each way by itself', async () => {
    const { dialThrough, link } = await setup({ forwardMs: 1, backMs: 1 });
    const { client, served } = await dialThrough();
    const [there, back] = [randomBytes(3 * HIGH_WATER), randomBytes(HIGH_WATER)];
    client.socket.end(there);
    await until('all is there', () => served.ended);
    expect(served.bytes.subarray(1).equals(there)).toBe(true);
    expect(client.ended).toBe(false);
    served.socket.end(back);
    await until('all is back', () => client.ended);
    expect(client.bytes.subarray(1).equals(back)).toBe(true);
    await until('the connection is forgotten', () => link.connections === 0);
  });

  test('holds a bounded number of bytes and then makes the sender wait', async () => {
    const scheduler = new ManualScheduler();
    const { accepted, dial, link } = await setup(AT_ONCE, scheduler);
    const client = await dial();
    const sent = randomBytes(6 * HIGH_WATER);
    client.socket.end(sent);
    await until('the server has a connection', () => {
      scheduler.advance(0);
      return accepted.length === 1;
    });
    link.set({ forwardMs: 1000 });
    await until('the link is full', () => {
      scheduler.advance(0);
      return link.bytesInFlight >= HIGH_WATER;
    });
    let most = 0;
    await until('all is there', () => {
      most = Math.max(most, link.bytesInFlight);
      scheduler.advance(1000);
      return accepted[0]?.ended === true;
    });
    expect(most).toBeLessThan(HIGH_WATER + 1024 * 1024);
    expect(accepted[0]?.bytes.equals(sent)).toBe(true);
  });

  test('resets old and new connections while it refuses, and serves again afterwards', async () => {
    const { dial, dialThrough, link } = await setup(AT_ONCE);
    const { client, served } = await dialThrough();
    link.set({ state: 'refuse' });
    await until('both ends are reset', () => client.closed && served.closed);
    expect([client.error, served.error]).toEqual(['ECONNRESET', 'ECONNRESET']);
    const late = await dial().catch((error: NodeJS.ErrnoException) => error);
    if (late instanceof Ear) await until('the new one is reset', () => late.closed);
    link.set({ state: 'up' });
    await dialThrough();
  });

  test('passes nothing in a partition, and resets what lived through it', async () => {
    const { accepted, dial, dialThrough, link } = await setup(AT_ONCE);
    const { client, served } = await dialThrough();
    link.set({ state: 'hang' });
    client.socket.write('lost');
    served.socket.write('lost');
    const late = await dial();
    late.socket.write('lost');
    await until('the link knows of both', () => link.connections === 2);
    expect([client.closed, served.closed, late.closed]).toEqual([false, false, false]);

    link.set({ state: 'up' });
    await until('all are reset', () => client.closed && served.closed && late.closed);
    expect([client.text, served.text, late.text]).toEqual(['s', 'c', '']);
    expect(accepted).toHaveLength(1);
    await dialThrough();
    expect(link.connections).toBe(1);
  });

  test('loses what was on its way when the partition set in', async () => {
    const scheduler = new ManualScheduler();
    const { accepted, dial, link } = await setup(AT_ONCE, scheduler);
    const client = await dial();
    await until('the server has a connection', () => {
      scheduler.advance(0);
      return accepted.length === 1;
    });
    link.set({ forwardMs: 40 });
    client.socket.write('lost');
    await until('it is on its way', () => {
      scheduler.advance(0);
      return link.bytesInFlight === 4;
    });
    link.set({ state: 'hang' });
    link.set({ state: 'up' });
    scheduler.advance(100);
    await until('both ends are reset', () => client.closed && accepted[0]?.closed === true);
    expect(accepted[0]?.text).toBe('');
  });

  test('passes requests and no answers while it is half-open, new connections included', async () => {
    const { accepted, dial, dialThrough, link } = await setup(AT_ONCE);
    const { client, served } = await dialThrough();
    link.set({ state: 'half-open' });
    client.socket.write('order');
    await until('the order is there', () => served.text === 'corder');
    served.socket.end('done');
    const late = await dial();
    late.socket.write('order');
    await until('the late order is there', () => accepted[1]?.text === 'order');
    accepted[1]?.socket.write('done');

    link.set({ state: 'up' });
    await until('both are reset', () => client.closed && late.closed);
    expect([client.text, late.text]).toEqual(['s', '']);
    expect([client.error, late.error]).toEqual(['ECONNRESET', 'ECONNRESET']);
    await dialThrough();
  });

  test('leaves a healthy connection alone when only its delay changes', async () => {
    const { dialThrough, link } = await setup(AT_ONCE);
    const { client, served } = await dialThrough();
    link.set({ forwardMs: 1 });
    link.set({ state: 'up' });
    client.socket.write('!');
    await until('it is there', () => served.text === 'c!');
  });

  test('tells the client when nothing listens at the other end, and when the server dies', async () => {
    const { accepted, server, dial, dialThrough } = await setup(AT_ONCE);
    const { client, served } = await dialThrough();
    served.socket.resetAndDestroy();
    await until('the client is reset', () => client.error === 'ECONNRESET');
    server.close();
    await once(server, 'close');
    const late = await dial();
    await until('the late one is reset', () => late.closed);
    expect(accepted).toHaveLength(1);
  });
});
