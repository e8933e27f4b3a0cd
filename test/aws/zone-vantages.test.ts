import { afterAll, beforeAll, expect, test } from 'vitest';
import { typeOfTarget } from '#lib/aws/dns-target.ts';
import { ZoneVantages } from '#lib/aws/zone-vantages.ts';
import { freePort } from '#lib/local/ports.ts';
import { dnsVantagesContract } from '../contracts/dns-vantages.contract.ts';
import { change, resolverOf, setOf, startTestDns, type TestDns, ZONE } from '../support/dns.ts';

let server: TestDns;
beforeAll(async () => {
  server = await startTestDns();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

let names = 0;

dnsVantagesContract('a zone on a DNS server', async () => {
  const name = `orders-${++names}`;
  const vantage = `127.0.0.1:${server.dnsPort}`;
  return {
    vantages: new ZoneVantages({ name: `${name}.${ZONE}`, servers: [vantage] }),
    vantage,
    serve: async (...targets) => {
      for (const target of targets) {
        const set = { ...setOf(name, typeOfTarget(target), target), SetIdentifier: target, Weight: 1 };
        await change(server.route53, ['CREATE', set]);
      }
    },
  };
});

test('a server that is gone is told of, and does not hide the others', async () => {
  const servers = [await freePort(), server.dnsPort].map((port) => `127.0.0.1:${port}`);
  await change(server.route53, ['CREATE', setOf('two', 'A', '10.0.0.1')]);
  const vantages = new ZoneVantages({ name: `two.${ZONE}`, servers });
  expect(await vantages.ask('10.0.0.1')).toEqual([
    { vantage: servers[0], error: expect.any(String) },
    { vantage: servers[1], targets: ['10.0.0.1'] },
  ]);
});

test('a zone without name servers says so', async () => {
  const vantages = new ZoneVantages({ name: `two.${ZONE}`, servers: [] });
  expect(await vantages.ask('10.0.0.1')).toEqual([
    { vantage: 'DNS', error: `no name servers of two.${ZONE} are found` },
  ]);
});

test('without servers, those of the closest zone above the name are found and asked', async () => {
  const { resolver } = server;
  const found = new ZoneVantages({ name: `orders.deep.${ZONE}`, resolver });
  // The zone has one name server, whose address is nowhere.
  expect(await found.ask('10.0.0.1')).toEqual([
    { vantage: `ns.${ZONE}`, error: expect.stringContaining(`queryA ENOTFOUND ns.${ZONE}`) },
  ]);
  const outside = new ZoneVantages({ name: 'orders.example.org', resolver });
  expect(await outside.ask('10.0.0.1')).toEqual([
    { vantage: 'DNS', error: 'no name servers of orders.example.org are found' },
  ]);
});

test('a name that stands for another is looked for in its own zone, not in that of the other', async () => {
  await using elsewhere = await startTestDns({ zone: 'elsewhere.internal' });
  // As a recursive resolver does: it follows the alias out of the zone, to the name servers of the other.
  const resolver = resolverOf(server.dnsPort);
  const other = resolverOf(elsewhere.dnsPort);
  const name = `alias.${ZONE}`;
  resolver.resolveNs = (asked) =>
    (asked === name ? other : resolverOf(server.dnsPort)).resolveNs(
      asked === name ? 'elsewhere.internal' : asked,
    );
  const vantages = new ZoneVantages({ name, resolver });
  expect(await vantages.ask('elsewhere.internal')).toMatchObject([{ vantage: `ns.${ZONE}` }]);
});
