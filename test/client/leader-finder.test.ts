import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { LeaderFinder } from '#lib/client/leader-finder.ts';
import { change, setOf, startTestDns, type TestDns, ZONE } from '../support/dns.ts';

const NAME = `orders.${ZONE}`;

let dns: TestDns;
let nowMs: number;
let finder: LeaderFinder;

beforeAll(async () => {
  dns = await startTestDns();
});
afterAll(async () => {
  await dns?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  nowMs = 0;
  await point('eu.example.com');
  finder = finderAt(`127.0.0.1:${dns.dnsPort}`);
});

const finderAt = (server: string, name = NAME) =>
  new LeaderFinder({ name, ttlSeconds: 5, servers: [server], now: () => nowMs });

async function point(target: string): Promise<void> {
  await change(dns.route53, ['UPSERT', setOf('orders', 'CNAME', target)]);
}

describe('the way to the leader', () => {
  test('is asked of DNS once in the time for which the answer holds', async () => {
    expect(await finder.find()).toEqual({ target: 'eu.example.com' });
    await point('us.example.com');
    nowMs = 4_999;
    expect(await finder.find()).toEqual({ target: 'eu.example.com' });
    nowMs = 5_000;
    expect(await finder.find()).toEqual({ target: 'us.example.com' });
  });

  test('is asked for at once where the last answer led nowhere', async () => {
    await finder.find();
    await point('us.example.com');
    finder.forget();
    expect(await finder.find()).toEqual({ target: 'us.example.com' });
  });

  test('is the last one known where DNS does not answer any more', async () => {
    await finder.find();
    await change(dns.route53, ['DELETE', setOf('orders', 'CNAME', 'eu.example.com')]);
    finder.forget();
    expect(await finder.find()).toEqual({ target: 'eu.example.com' });
  });

  test.each([
    ['A', '192.0.2.7', '192.0.2.8'],
    ['AAAA', '2001:db8::7', '2001:db8::8'],
  ])('may be an address (%s), or become a name', async (type, first, second) => {
    await change(
      dns.route53,
      ['DELETE', setOf('orders', 'CNAME', 'eu.example.com')],
      ['CREATE', setOf('orders', type, first)],
    );
    const ofAddress = finderAt(`127.0.0.1:${dns.dnsPort}`);
    expect(await ofAddress.find()).toEqual({ target: first });
    await change(dns.route53, ['UPSERT', setOf('orders', type, second)]);
    ofAddress.forget();
    expect(await ofAddress.find()).toEqual({ target: second });
    await change(
      dns.route53,
      ['DELETE', setOf('orders', type, second)],
      ['CREATE', setOf('orders', 'CNAME', 'eu.example.com')],
    );
    ofAddress.forget();
    expect(await ofAddress.find()).toEqual({ target: 'eu.example.com' });
  });

  test('is unknown where DNS has never answered, and says where to look', async () => {
    const unknown = finderAt(`127.0.0.1:${dns.dnsPort}`, `nothing.${ZONE}`);
    await expect(unknown.find()).rejects.toMatchObject({
      code: 'REGION_UNREACHABLE',
      message: expect.stringContaining(`nothing.${ZONE} does not resolve`),
    });
  });
});
