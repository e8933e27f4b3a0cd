import { type ResourceRecordSet, Route53Client } from '@aws-sdk/client-route-53';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Route53Record } from '#lib/aws/route53-record.ts';
import { type Epoch, parseEpoch } from '#lib/domain/lsn.ts';
import { ZONE_ID } from '#lib/local/dns/route53-api.ts';
import { INVENTORY, leaderRecordContract, TARGETS } from '../contracts/leader-record.contract.ts';
import {
  CREDENTIALS,
  change,
  setOf,
  startTestDns,
  type TestDns,
  unlessAbsent,
  ZONE,
} from '../support/dns.ts';

/** The address that a client ends up at, by target. */
const ADDRESSES = new Map([
  ['10.1.0.7', TARGETS.eu],
  ['10.2.0.7', TARGETS.us],
]);

const E1 = { epoch: parseEpoch(1), target: TARGETS.eu };
const E2 = { epoch: parseEpoch(2), target: TARGETS.us };
const E3 = { epoch: parseEpoch(3), target: TARGETS.ap };

let server: TestDns;
let groups = 0;

beforeAll(async () => {
  server = await startTestDns({ propagationMs: Number.POSITIVE_INFINITY });
  for (const [address, target] of ADDRESSES) {
    await change(server.route53, ['CREATE', setOf(target.replace(`.${ZONE}`, ''), 'A', address)]);
  }
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
});

/** A label that no other test uses. */
function newGroup(): string {
  groups += 1;
  return `group-${groups}`;
}

function recordOf(group: string, route53 = server.route53, inventory = INVENTORY): Route53Record {
  return new Route53Record({ route53, zoneId: ZONE_ID, name: `${group}.${ZONE}`, ttlSeconds: 5, inventory });
}

async function ask(group: string) {
  const { resolver } = server;
  const name = `${group}.${ZONE}`;
  const [address] =
    (await unlessAbsent(resolver.resolve4(name))) ?? (await unlessAbsent(resolver.resolve6(name))) ?? [];
  const [text] = (await unlessAbsent(resolver.resolveTxt(`_epoch.${name}`))) ?? [];
  const epoch = text && /^understudy epoch=(\d+) leader=/.exec(text.join(''))?.[1];
  return {
    target: address && (ADDRESSES.get(address) ?? address),
    epoch: epoch === undefined ? undefined : (Number(epoch) as Epoch),
  };
}

leaderRecordContract('the Route 53 record', async () => {
  const group = newGroup();
  const record = recordOf(group);
  return {
    record,
    settle: () => server.dns.settle(),
    changeByHand: async (target) => {
      await change(server.route53, ['UPSERT', setOf(group, 'CNAME', target)]);
    },
    ask: () => ask(group),
  };
});

/** A client that does something around each batch that it sends; a flip is one batch. */
function meddled(around: { before?: () => Promise<unknown>; after?: () => void; attempts?: number }) {
  const route53 = new Route53Client({
    endpoint: server.endpoint,
    region: 'us-east-1',
    credentials: CREDENTIALS,
    maxAttempts: around.attempts ?? 1,
  });
  route53.middlewareStack.add(
    (next, context) => async (args) => {
      const isBatch = context.commandName === 'ChangeResourceRecordSetsCommand';
      if (isBatch) await around.before?.();
      const result = await next(args);
      if (isBatch) around.after?.();
      return result;
    },
    // Inside of the SDK's retries.
    { step: 'finalizeRequest', priority: 'low' },
  );
  return route53;
}

const text = (epoch: number, target: string) => `"understudy epoch=${epoch} leader=${target}"`;

describe('the Route 53 record', () => {
  test('is two sets that people can read, which live as short as they are told to', async () => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    await recordOf(group).flip(E1, E2);
    server.dns.settle();
    const { resolver } = server;
    expect(await resolver.resolveCname(`${group}.${ZONE}`)).toEqual([TARGETS.us]);
    expect(await resolver.resolveTxt(`_epoch.${group}.${ZONE}`)).toEqual([
      [`understudy epoch=2 leader=${TARGETS.us}`],
    ]);
    await recordOf(group).flip(E2, E3);
    server.dns.settle();
    expect(await resolver.resolve4(`${group}.${ZONE}`, { ttl: true })).toEqual([
      { address: TARGETS.ap, ttl: 5 },
    ]);
  });

  test('knows a target in any spelling', async () => {
    const group = newGroup();
    const record = recordOf(group, server.route53, ['EU.example.internal.', 'FD00:4:0::7']);
    await record.flip(undefined, { epoch: parseEpoch(1), target: 'fd00:4:0:0::7' });
    expect(await record.read()).toEqual({ epoch: 1, target: 'fd00:4::7' });
    const to = { epoch: parseEpoch(2), target: 'eu.Example.internal' };
    expect(await record.flip({ epoch: parseEpoch(1), target: 'FD00:4::0:7' }, to)).toMatchObject({
      kind: 'submitted',
    });
    expect(await record.flip(undefined, to)).toEqual({ kind: 'already' });
  });

  test('names a target as long as names may be', async () => {
    const long = Array.from({ length: 4 }, (_, index) => String(index).repeat(62)).join('.');
    const record = recordOf(newGroup(), server.route53, [long]);
    await record.flip(undefined, { epoch: parseEpoch(0xffff_ffff), target: long });
    expect(await record.read()).toEqual({ epoch: 0xffff_ffff, target: long });
  });

  test('refuses an inventory that holds what DNS cannot name', () => {
    for (const target of ['', 'two words', 'a..b', '"', `${'a'.repeat(64)}.example`]) {
      expect(() => recordOf('any', server.route53, [target])).toThrow(/CONFIG_INVALID/);
    }
  });

  test.each<[string, (group: string) => readonly ResourceRecordSet[]]>([
    ['an address without an epoch', (group) => [setOf(group, 'CNAME', TARGETS.eu)]],
    ['an epoch without an address', (group) => [setOf(`_epoch.${group}`, 'TXT', text(1, TARGETS.eu))]],
    [
      'an epoch record of unknown form',
      (group) => [setOf(group, 'CNAME', TARGETS.eu), setOf(`_epoch.${group}`, 'TXT', '"epoch 1"')],
    ],
    [
      'an epoch out of range',
      (group) => [
        setOf(group, 'CNAME', TARGETS.eu),
        setOf(`_epoch.${group}`, 'TXT', text(2 ** 32, TARGETS.eu)),
      ],
    ],
    [
      'two epochs',
      (group) => [
        setOf(group, 'CNAME', TARGETS.eu),
        setOf(`_epoch.${group}`, 'TXT', text(1, TARGETS.eu), text(2, TARGETS.eu)),
      ],
    ],
    [
      'two addresses',
      (group) => [
        setOf(group, 'A', TARGETS.ap, '10.3.0.8'),
        setOf(`_epoch.${group}`, 'TXT', text(1, TARGETS.ap)),
      ],
    ],
    [
      'addresses of two kinds',
      (group) => [
        setOf(group, 'A', TARGETS.ap),
        setOf(group, 'AAAA', TARGETS.sa),
        setOf(`_epoch.${group}`, 'TXT', text(1, TARGETS.ap)),
      ],
    ],
    [
      'a target outside of the inventory',
      (group) => [setOf(group, 'A', '10.3.0.8'), setOf(`_epoch.${group}`, 'TXT', text(1, '10.3.0.8'))],
    ],
    [
      'a routing policy',
      (group) => [
        { ...setOf(group, 'A', TARGETS.ap), SetIdentifier: 'one', Failover: 'PRIMARY' },
        setOf(`_epoch.${group}`, 'TXT', text(1, TARGETS.ap)),
      ],
    ],
  ])('is left alone where it has %s', async (_, sets) => {
    const group = newGroup();
    await change(server.route53, ...sets(group).map((set) => ['CREATE', set] as const));
    server.dns.settle();
    const before = await ask(group);
    await expect(recordOf(group).read()).rejects.toMatchObject({
      code: 'DNS_RECORD_FOREIGN',
      message: expect.stringContaining(`${group}.${ZONE}`),
    });
    for (const from of [undefined, E1]) {
      expect(await recordOf(group).flip(from, E2)).toEqual({ kind: 'stale', now: undefined });
    }
    server.dns.settle();
    expect(await ask(group)).toEqual(before);
  });

  test('is taken over from an address that was there before, once it has an epoch', async () => {
    const group = newGroup();
    await change(
      server.route53,
      ['CREATE', setOf(group, 'CNAME', `${TARGETS.eu}.`)],
      ['CREATE', setOf(`_epoch.${group}`, 'TXT', text(0, TARGETS.eu))],
    );
    const record = recordOf(group);
    const first = await record.read();
    expect(first).toEqual({ epoch: 0, target: TARGETS.eu });
    expect(await record.flip(first, E2)).toMatchObject({ kind: 'submitted' });
    expect(await record.read()).toEqual(E2);
  });

  test('is not mistaken for those around it', async () => {
    const group = newGroup();
    const others = ['0', '1', '*'].map((label) => setOf(`${label}.${group}`, 'A', '10.9.9.9'));
    others.push(setOf(`a.${group}`, 'A', '10.9.9.9'), setOf(`${group}0`, 'A', '10.9.9.9'));
    await change(server.route53, ...others.map((set) => ['CREATE', set] as const));
    const record = recordOf(group);
    expect(await record.read()).toBeUndefined();
    await record.flip(undefined, E3);
    await change(server.route53, ['CREATE', setOf(group, 'TXT', '"v=spf1 -all"')]);
    expect(await record.read()).toEqual(E3);
    expect(await record.flip(E3, { epoch: parseEpoch(4), target: TARGETS.sa })).toMatchObject({
      kind: 'submitted',
    });
  });

  test('is found behind more sets than a page of the list holds', async () => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    const others = Array.from({ length: 310 }, (_, index) => setOf(`${index}.${group}`, 'A', '10.9.9.9'));
    await change(server.route53, ...others.map((set) => ['CREATE', set] as const));
    expect(await recordOf(group).read()).toEqual(E1);
  });
});

describe('a flip that is overtaken after it has looked', () => {
  test('by another flip changes nothing', async () => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    const before = () => recordOf(group).flip(E1, E3);
    const flip = recordOf(group, meddled({ before })).flip(E1, E2);
    expect(await flip).toEqual({ kind: 'stale', now: E3 });
    expect(await recordOf(group).read()).toEqual(E3);
  });

  test('by the first of all flips changes nothing', async () => {
    const group = newGroup();
    const before = () => recordOf(group).flip(undefined, E1);
    const flip = recordOf(group, meddled({ before })).flip(undefined, E2);
    expect(await flip).toEqual({ kind: 'stale', now: E1 });
  });

  test.each([
    ['the address', (group: string) => setOf(group, 'CNAME', TARGETS.us)],
    ['the epoch', (group: string) => setOf(`_epoch.${group}`, 'TXT', text(9, TARGETS.us))],
  ])('by a person who changed %s undoes nothing of that', async (_, byHand) => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    const before = () => change(server.route53, ['UPSERT', byHand(group)]);
    const flip = recordOf(group, meddled({ before })).flip(E1, E3);
    expect(await flip).toEqual({ kind: 'stale', now: undefined });
    // Only exactly that can be deleted.
    await change(server.route53, ['DELETE', byHand(group)]);
  });

  test('by its own first try, whose answer got lost, is done', async () => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    let lost = 0;
    const after = () => {
      lost += 1;
      if (lost === 1) throw Object.assign(new Error('socket hang up'), { name: 'TimeoutError' });
    };
    const flip = recordOf(group, meddled({ after, attempts: 3 })).flip(E1, E2);
    expect(await flip).toEqual({ kind: 'already' });
    expect(lost).toBe(1);
    expect(await recordOf(group).read()).toEqual(E2);
  });
});

describe('Route 53 that', () => {
  test('throttles for a moment is tried again', async () => {
    const group = newGroup();
    server.dns.throttle(1);
    expect(await recordOf(group).flip(undefined, E1)).toMatchObject({ kind: 'submitted' });
  });

  test('keeps throttling is reported, and nothing is changed', async () => {
    const group = newGroup();
    await recordOf(group).flip(undefined, E1);
    const before = async () => server.dns.throttle(1);
    const record = recordOf(group, meddled({ before }));
    await expect(record.flip(E1, E2)).rejects.toMatchObject({ code: 'DNS_THROTTLED', retry: 'later' });
    expect(await record.read()).toEqual(E1);
    for (const call of [() => record.read(), () => record.status('C1')]) {
      server.dns.throttle(1);
      await expect(call()).rejects.toMatchObject({ code: 'DNS_THROTTLED' });
    }
  });

  test('refuses a batch for another reason is quoted', async () => {
    const group = newGroup();
    const name = `${group}.elsewhere.internal`;
    const { route53 } = server;
    const record = new Route53Record({ route53, zoneId: ZONE_ID, name, ttlSeconds: 5, inventory: INVENTORY });
    await expect(record.flip(undefined, E1)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('not permitted in zone'),
    });
  });
});
