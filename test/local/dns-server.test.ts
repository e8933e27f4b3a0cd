import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import {
  CreateHealthCheckCommand,
  GetChangeCommand,
  GetHealthCheckCommand,
  ListResourceRecordSetsCommand,
  type ListResourceRecordSetsCommandOutput,
  UpdateHealthCheckCommand,
} from '@aws-sdk/client-route-53';
import { type DecodedPacket, decode, encode, type RecordType, streamEncode } from 'dns-packet';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRoute53Client } from '#lib/aws/route53-client.ts';
import { startDnsServer } from '#lib/local/dns/dns-server.ts';
import { ZONE_ID } from '#lib/local/dns/route53-api.ts';
import {
  CREDENTIALS,
  change,
  resolverOf,
  setOf,
  startTestDns,
  type TestDns,
  unlessAbsent,
  ZONE,
} from '../support/dns.ts';
import { isListening, until } from './until.ts';

let server: TestDns;
beforeAll(async () => {
  server = await startTestDns();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

const query = (name: string, type: RecordType, id = 7) => ({
  type: 'query' as const,
  id,
  questions: [{ name, type, class: 'IN' as const }],
});

/** The answer to one datagram, in full. */
async function byUdp(message: Uint8Array): Promise<DecodedPacket> {
  const socket = createSocket('udp4');
  socket.send(message, server.dnsPort, '127.0.0.1');
  const [answer] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return decode(answer);
}

const codeOf = ({ flags = 0 }: DecodedPacket) => flags & 15;

describe('the DNS server', () => {
  beforeAll(async () => {
    await change(
      server.route53,
      ['CREATE', setOf('v4', 'A', '10.0.0.1', '10.0.0.2')],
      ['CREATE', setOf('v6', 'AAAA', 'fd00::1')],
      ['CREATE', setOf('text', 'TXT', '"one" "and two"', '"three"')],
      ['CREATE', setOf('alias', 'CNAME', `V4.${ZONE}.`)],
      ['CREATE', setOf('twice', 'CNAME', `alias.${ZONE}`)],
      ['CREATE', setOf('away', 'CNAME', 'elsewhere.example.com')],
      ['CREATE', setOf('dangling', 'CNAME', `nothing.${ZONE}`)],
      ['CREATE', setOf('loop', 'CNAME', `loop.${ZONE}`)],
      ['CREATE', setOf('deep.below', 'A', '10.0.0.3')],
      [
        'CREATE',
        setOf('long', 'TXT', ...Array.from({ length: 9 }, (_, index) => `"${`${index}`.repeat(99)}"`)),
      ],
    );
  });

  test('answers with addresses, texts and their TTL', async () => {
    const { resolver } = server;
    expect((await resolver.resolve4(`v4.${ZONE}`, { ttl: true })).sort()).toEqual([
      { address: '10.0.0.1', ttl: 60 },
      { address: '10.0.0.2', ttl: 60 },
    ]);
    expect(await resolver.resolve6(`v6.${ZONE}`, { ttl: true })).toEqual([{ address: 'fd00::1', ttl: 60 }]);
    expect(await resolver.resolveTxt(`text.${ZONE}`)).toEqual([['one', 'and two'], ['three']]);
    expect(await resolver.resolveCname(`alias.${ZONE}`)).toEqual([`V4.${ZONE}`]);
    expect(await resolver.resolveSoa(ZONE)).toMatchObject({ nsname: `ns.${ZONE}`, minttl: 60 });
  });

  test('follows aliases inside of the zone', async () => {
    expect((await server.resolver.resolve4(`twice.${ZONE}`)).sort()).toEqual(['10.0.0.1', '10.0.0.2']);
    const answer = await byUdp(encode(query(`twice.${ZONE}`, 'A')));
    expect(answer.answers!.map(({ type }) => type)).toEqual(['CNAME', 'CNAME', 'A', 'A']);
    expect((await byUdp(encode(query(`away.${ZONE}`, 'A')))).answers).toMatchObject([
      { type: 'CNAME', data: 'elsewhere.example.com' },
    ]);
    expect(codeOf(await byUdp(encode(query(`loop.${ZONE}`, 'A'))))).toBe(0);
  });

  test('takes names in any case', async () => {
    expect(await server.resolver.resolve6(`V6.${ZONE.toUpperCase()}`)).toEqual(['fd00::1']);
  });

  test.each([
    ['a name that is not there', `nothing.${ZONE}`, 'A', 3],
    ['an alias of one', `dangling.${ZONE}`, 'A', 3],
    ['a name without that type', `v4.${ZONE}`, 'AAAA', 0],
    ['a name with only names below it', `below.${ZONE}`, 'A', 0],
  ] as const)('says of %s how long that holds', async (_, name, type, code) => {
    const answer = await byUdp(encode(query(name, type)));
    expect(codeOf(answer)).toBe(code);
    expect(answer.flag_aa).toBe(true);
    expect(answer.authorities).toMatchObject([{ type: 'SOA', name: ZONE, ttl: 60 }]);
    await expect(server.resolver.resolve(name, type)).rejects.toMatchObject({
      code: code === 3 ? 'ENOTFOUND' : 'ENODATA',
    });
  });

  test('refuses names of other zones', async () => {
    expect(codeOf(await byUdp(encode(query('example.com', 'A'))))).toBe(5);
    expect(codeOf(await byUdp(encode(query(`x${ZONE}`, 'A'))))).toBe(5);
  });

  test('cuts what does not fit a datagram, and gives it by TCP', async () => {
    const cut = await byUdp(encode(query(`long.${ZONE}`, 'TXT')));
    expect(cut.flag_tc).toBe(true);
    expect(cut.answers).toEqual([]);
    expect(await server.resolver.resolveTxt(`long.${ZONE}`)).toHaveLength(9);
  });

  test('answers many queries on one connection, in whatever pieces they come', async () => {
    const socket = connect(server.dnsPort, '127.0.0.1');
    const messages = Buffer.concat([1, 2].map((id) => streamEncode(query(`v6.${ZONE}`, 'AAAA', id))));
    for (const byte of messages) socket.write(Buffer.of(byte));
    let received = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
    });
    await until('both answers', () => {
      const first = received.length < 2 ? Infinity : 2 + received.readUInt16BE();
      return received.length >= 2 * first;
    });
    const first = decode(received.subarray(2));
    const second = decode(received.subarray(4 + received.readUInt16BE()));
    expect([first, second].map(({ id, answers }) => [id, answers!.length])).toEqual([
      [1, 1],
      [2, 1],
    ]);
    socket.destroy();
  });

  test('outlives messages that are none', async () => {
    const socket = createSocket('udp4');
    const whole = encode(query(`v6.${ZONE}`, 'AAAA'));
    const hostile = Array.from({ length: whole.length }, (_, end) => whole.subarray(0, end));
    hostile.push(Buffer.alloc(600, 0xff), encode({ ...query('x', 'A'), type: 'response' }));
    for (const message of hostile) socket.send(message, server.dnsPort, '127.0.0.1');
    const slow = connect(server.dnsPort, '127.0.0.1');
    slow.write(Buffer.concat([Buffer.of(0, 4), Buffer.alloc(4, 0xff)]));
    await once(slow, 'close');
    socket.close();
    expect(codeOf(await byUdp(whole))).toBe(0);
    expect(codeOf(await byUdp(encode({ type: 'query', id: 1, questions: [] })))).toBe(1);
  });
});

describe('a batch', () => {
  const A = (name: string, ...values: string[]) => setOf(name, 'A', ...values);

  test('is done as a whole or not at all', async () => {
    const { route53, resolver } = server;
    await change(route53, ['CREATE', A('old', '10.1.0.1')]);
    const bad = change(
      route53,
      ['DELETE', A('old', '10.1.0.1')],
      ['CREATE', A('new', '10.1.0.2')],
      ['DELETE', A('absent', '10.1.0.3')],
    );
    await expect(bad).rejects.toMatchObject({
      name: 'InvalidChangeBatch',
      message: `[Tried to delete resource record set [name='absent.${ZONE}.', type='A'] but it was not found]`,
    });
    expect(await resolver.resolve4(`old.${ZONE}`)).toEqual(['10.1.0.1']);
    expect(await unlessAbsent(resolver.resolve4(`new.${ZONE}`))).toBeUndefined();
  });

  test.each([
    ['creates what is there', 'already exists', 'CREATE', A('here', '10.1.0.9')],
    ['deletes other values', 'do not match', 'DELETE', A('here', '10.1.0.9')],
    ['deletes another TTL', 'do not match', 'DELETE', { ...A('here', '10.1.0.1', '10.1.0.2'), TTL: 61 }],
    ['makes an alias of what has addresses', 'conflicting', 'CREATE', setOf('here', 'CNAME', 'x.example')],
    ['makes an alias of the zone', 'not permitted', 'UPSERT', { ...setOf('', 'CNAME', 'x'), Name: ZONE }],
    ['reaches into another zone', 'not permitted', 'CREATE', { ...A('x', '10.1.0.1'), Name: 'example.com' }],
    ['names no address', 'not a value', 'UPSERT', A('here', 'here')],
    ['names an address of the other kind', 'not a value', 'UPSERT', setOf('here', 'AAAA', '10.1.0.1')],
    ['has a bare text', 'not a value', 'CREATE', setOf('here', 'TXT', 'text')],
    [
      'mixes routing',
      'routing',
      'CREATE',
      { ...A('here', '10.1.0.1'), SetIdentifier: 'a', Failover: 'PRIMARY' },
    ],
  ] as const)('is refused if it %s', async (_, why, action, set) => {
    const { route53, resolver } = server;
    await change(route53, ['UPSERT', A('here', '10.1.0.2', '10.1.0.1')]);
    await expect(change(route53, [action, set])).rejects.toMatchObject({
      name: 'InvalidChangeBatch',
      message: expect.stringContaining(why),
    });
    expect((await resolver.resolve4(`here.${ZONE}`)).sort()).toEqual(['10.1.0.1', '10.1.0.2']);
  });

  test('may delete values in another order, and exchange one type for another', async () => {
    const { route53, resolver } = server;
    await change(route53, ['CREATE', A('turn', '10.1.0.1', '10.1.0.2')]);
    await change(
      route53,
      ['DELETE', A('turn', '10.1.0.2', '10.1.0.1')],
      ['CREATE', setOf('turn', 'CNAME', 'x.example')],
    );
    expect(await resolver.resolveCname(`turn.${ZONE}`)).toEqual(['x.example']);
  });

  test('is refused by name if the twin does not know what it asks for', async () => {
    const nearest = { ...A('nearest', '10.1.0.1'), SetIdentifier: 'a', Region: 'eu-west-1' as const };
    await expect(change(server.route53, ['CREATE', nearest])).rejects.toMatchObject({
      name: 'InvalidInput',
      message: expect.stringContaining('Region'),
    });
  });

  test('is listed at once, and answered when it is in sync', async () => {
    await using held = await startTestDns({ propagationMs: Number.POSITIVE_INFINITY });
    const { route53, resolver, dns } = held;
    const id = await change(route53, ['CREATE', A('late', '10.1.0.1')]);
    const status = async () => (await route53.send(new GetChangeCommand({ Id: id }))).ChangeInfo?.Status;
    const { ResourceRecordSets } = await route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: ZONE_ID, StartRecordName: `late.${ZONE}` }),
    );
    expect(ResourceRecordSets).toEqual([{ ...A('late', '10.1.0.1'), Name: `late.${ZONE}.` }]);
    expect(await status()).toBe('PENDING');
    expect(await unlessAbsent(resolver.resolve4(`late.${ZONE}`))).toBeUndefined();
    dns.settle();
    expect(await status()).toBe('INSYNC');
    expect(await resolver.resolve4(`late.${ZONE}`)).toEqual(['10.1.0.1']);
  });
});

test('a list is in the order of labels from the right, in pages', async () => {
  await using own = await startTestDns();
  const names = ['b', 'a', '_e.a', '0.a', 'a0'];
  await change(own.route53, ...names.map((name) => ['CREATE', setOf(name, 'A', '10.0.0.1')] as const));
  const listed: string[] = [];
  let next: { StartRecordName?: string | undefined; StartRecordType?: 'A' | undefined } | undefined = {};
  while (next !== undefined) {
    const page: ListResourceRecordSetsCommandOutput = await own.route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: ZONE_ID, MaxItems: 2, ...next }),
    );
    listed.push(...page.ResourceRecordSets!.map(({ Name, Type }) => `${Name} ${Type}`));
    next = page.IsTruncated
      ? { StartRecordName: page.NextRecordName, StartRecordType: page.NextRecordType as 'A' }
      : undefined;
  }
  expect(listed).toEqual([
    `${ZONE}. NS`,
    `${ZONE}. SOA`,
    ...['a', '0.a', '_e.a', 'a0', 'b'].map((name) => `${name}.${ZONE}. A`),
  ]);
});

/** An endpoint whose health is a switch. */
async function endpoint() {
  const state = { status: 200, asked: 0 };
  const http = createServer((_, response) => {
    state.asked += 1;
    response.writeHead(state.status).end();
  });
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const { port } = http.address() as AddressInfo;
  const close = () => {
    http.closeAllConnections();
    http.close();
  };
  return { state, port, [Symbol.dispose]: close };
}

async function healthCheck(port: number, Inverted = false): Promise<string> {
  const { HealthCheck } = await server.route53.send(
    new CreateHealthCheckCommand({
      CallerReference: `check of ${port}`,
      HealthCheckConfig: {
        IPAddress: '127.0.0.1',
        Port: port,
        Type: 'HTTP',
        ResourcePath: '/leads',
        FailureThreshold: 2,
        Inverted,
      },
    }),
  );
  return HealthCheck!.Id!;
}

describe('a failover pair', () => {
  async function pair(name: string, primary: string | undefined, secondary: string | undefined) {
    const half = (Failover: 'PRIMARY' | 'SECONDARY', address: string, check: string | undefined) => ({
      ...setOf(name, 'A', address),
      SetIdentifier: Failover,
      Failover,
      ...(check !== undefined && { HealthCheckId: check }),
    });
    await change(
      server.route53,
      ['CREATE', half('PRIMARY', '10.0.0.1', primary)],
      ['CREATE', half('SECONDARY', '10.0.0.2', secondary)],
    );
    return async () => (await server.resolver.resolve4(`${name}.${ZONE}`))[0];
  }

  test('answers with the secondary while the primary alone is unhealthy', async () => {
    using primary = await endpoint();
    using secondary = await endpoint();
    const check = await healthCheck(primary.port);
    const answer = await pair('pair', check, await healthCheck(secondary.port));
    expect(await answer()).toBe('10.0.0.1');
    primary.state.status = 503;
    await until('the secondary takes over', async () => (await answer()) === '10.0.0.2');
    secondary.state.status = 500;
    await until('the primary is the last resort', async () => (await answer()) === '10.0.0.1');
    secondary.state.status = 302;
    await until('the secondary is back', async () => (await answer()) === '10.0.0.2');
    primary.state.status = 200;
    await until('the primary is back', async () => (await answer()) === '10.0.0.1');
  });

  test("moves by an inverted check of the standby's claim to lead, with no change of the zone", async () => {
    using standby = await endpoint();
    standby.state.status = 404;
    const answer = await pair('inverted', await healthCheck(standby.port, true), undefined);
    await until('the old leader answers', async () => (await answer()) === '10.0.0.1');
    standby.state.status = 200;
    await until('the new leader answers', async () => (await answer()) === '10.0.0.2');
  });

  test('can be moved by hand: a disabled check is healthy, and unhealthy if inverted', async () => {
    const { route53 } = server;
    using primary = await endpoint();
    primary.state.status = 500;
    const id = await healthCheck(primary.port);
    const answer = await pair('manual', id, undefined);
    await until('the secondary takes over', async () => (await answer()) === '10.0.0.2');
    await route53.send(new UpdateHealthCheckCommand({ HealthCheckId: id, Disabled: true }));
    expect(await answer()).toBe('10.0.0.1');
    await route53.send(new UpdateHealthCheckCommand({ HealthCheckId: id, Inverted: true }));
    expect(await answer()).toBe('10.0.0.2');
    const { HealthCheck } = await route53.send(new GetHealthCheckCommand({ HealthCheckId: id }));
    expect(HealthCheck).toMatchObject({
      Id: id,
      HealthCheckVersion: 3,
      HealthCheckConfig: { Inverted: true, Disabled: true, Port: primary.port, ResourcePath: '/leads' },
    });
    const stale = new UpdateHealthCheckCommand({ HealthCheckId: id, HealthCheckVersion: 1, Port: 1 });
    await expect(route53.send(stale)).rejects.toMatchObject({ name: 'HealthCheckVersionMismatch' });
    const none = new GetHealthCheckCommand({ HealthCheckId: 'none' });
    await expect(route53.send(none)).rejects.toMatchObject({ name: 'NoSuchHealthCheck' });
  });
});

describe('weighted sets', () => {
  async function weighted(name: string, sets: readonly (readonly [number, string | undefined])[]) {
    for (const [index, [Weight, check]] of sets.entries()) {
      const set = { ...setOf(name, 'A', `10.0.0.${index}`), SetIdentifier: `${index}`, Weight };
      await change(server.route53, [
        'CREATE',
        { ...set, ...(check !== undefined && { HealthCheckId: check }) },
      ]);
    }
    return async () => {
      const asked = Array.from({ length: 40 }, () => server.resolver.resolve4(`${name}.${ZONE}`));
      return [...new Set((await Promise.all(asked)).flat())].sort().join();
    };
  }

  test('are all the answer at times, but for those of no weight', async () => {
    const answers = await weighted('weights', [
      [1, undefined],
      [2, undefined],
      [0, undefined],
    ]);
    expect(await answers()).toBe('10.0.0.0,10.0.0.1');
  });

  test('are the answer while they are healthy, and any is while none is', async () => {
    using one = await endpoint();
    using two = await endpoint();
    two.state.status = 503;
    const answers = await weighted('checked', [
      [1, await healthCheck(one.port)],
      [1, await healthCheck(two.port)],
    ]);
    await until('the healthy one alone', async () => (await answers()) === '10.0.0.0');
    one.state.status = 503;
    await until('any of them', async () => (await answers()) === '10.0.0.0,10.0.0.1');
    two.state.status = 200;
    await until('the other alone', async () => (await answers()) === '10.0.0.1');
  });

  test('stand beside no simple set and beside no other policy', async () => {
    await change(server.route53, [
      'CREATE',
      { ...setOf('mixed', 'A', '10.0.0.1'), SetIdentifier: 'a', Weight: 1 },
    ]);
    for (const other of [{}, { SetIdentifier: 'b', Failover: 'PRIMARY' as const }]) {
      const set = { ...setOf('mixed', 'A', '10.0.0.2'), ...other };
      await expect(change(server.route53, ['CREATE', set])).rejects.toThrow('routing conflicts');
    }
  });

  test('are listed as they were made', async () => {
    const set = { ...setOf('listed', 'A', '10.0.0.1'), SetIdentifier: 'a', Weight: 7 };
    await change(server.route53, ['CREATE', set]);
    const { ResourceRecordSets } = await server.route53.send(
      new ListResourceRecordSetsCommand({ HostedZoneId: ZONE_ID, StartRecordName: set.Name }),
    );
    expect(ResourceRecordSets?.[0]).toMatchObject({ SetIdentifier: 'a', Weight: 7 });
  });
});

describe("the DNS server's process", () => {
  test('serves a zone on the loopback interface alone, and propagates by itself', async () => {
    await using own = await startDnsServer({ zone: ZONE, name: 'test DNS', propagationMs: 20 });
    const route53 = createRoute53Client({ endpoint: own.endpoint, credentials: CREDENTIALS });
    expect(own).toMatchObject({ name: 'test DNS', zoneId: ZONE_ID });
    await change(route53, ['CREATE', setOf('x', 'A', '10.0.0.1')]);
    const resolver = resolverOf(own.dnsPort);
    await until('the answer', async () => (await unlessAbsent(resolver.resolve4(`x.${ZONE}`))) !== undefined);
    for (const port of [own.port, own.dnsPort]) {
      expect(await isListening(port)).toBe(true);
      // Another address of this machine, which a server on all interfaces would answer.
      expect(await isListening(port, '127.0.0.2')).toBe(false);
    }
    await own.stop();
    expect(await isListening(own.port)).toBe(false);
    route53.destroy();
  });

  test('comes back on its ports with an empty zone', async () => {
    const first = await startDnsServer({ zone: ZONE, propagationMs: 0 });
    const route53 = createRoute53Client({ endpoint: first.endpoint, credentials: CREDENTIALS });
    await change(route53, ['CREATE', setOf('x', 'A', '10.0.0.1')]);
    await first.stop();
    const { port, dnsPort } = first;
    await using _again = await startDnsServer({ zone: ZONE, propagationMs: 0, port, dnsPort });
    const resolver = resolverOf(dnsPort);
    expect(await unlessAbsent(resolver.resolve4(`x.${ZONE}`))).toBeUndefined();
    await change(route53, ['CREATE', setOf('x', 'A', '10.0.0.2')]);
    expect(await resolver.resolve4(`x.${ZONE}`)).toEqual(['10.0.0.2']);
    route53.destroy();
  });

  test('says so if a port is taken', async () => {
    const { port } = new URL(server.endpoint);
    const second = startDnsServer({ zone: ZONE, port: Number(port) });
    await expect(second).rejects.toThrow(/SERVER_NOT_STARTED.*EADDRINUSE/s);
  });
});
