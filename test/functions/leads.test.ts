import type { Context } from 'aws-lambda';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { BALLOT_ZERO, ballotAfter } from '#lib/domain/control/acceptor.ts';
import { founded } from '#lib/domain/control/register.ts';
import { parseGroupId, parseRegionId } from '#lib/domain/ids.ts';
import { parseEpoch } from '#lib/domain/lsn.ts';
import type { AcceptorStore } from '#lib/ports/acceptor-store.ts';
import { type RegionServers, startRegionServers } from '../support/region-servers.ts';

const [EU, US] = ['eu-west-1', 'us-east-1'].map(parseRegionId) as [
  ReturnType<typeof parseRegionId>,
  ReturnType<typeof parseRegionId>,
];
const [E1, E2] = [parseEpoch(1), parseEpoch(2)];
const REQUEST = { rawPath: '/', requestContext: { http: { method: 'GET', path: '/' } } };
const context = { getRemainingTimeInMillis: () => 3_000 } as Context;

let servers: RegionServers;
let acceptor: AcceptorStore;
let invoke: (event: unknown) => Promise<unknown>;
beforeAll(async () => {
  servers = await startRegionServers(EU);
  const regions = [EU, US].map((name) => ({ name }));
  const key = [{ name: 'pk', type: 'S' }] as const;
  const group = {
    group: parseGroupId('orders'),
    engine: { kind: 'dynamodb' as const, table: 'orders', key },
    regions,
    witnesses: [],
  };
  const { logTable, controlTable, bucket } = await servers.provision(group);
  const named = regions.map((each) => ({ ...each, bucket }));
  const config = { ...group, region: EU, regions: named, logTable, controlTable };
  vi.stubEnv('UNDERSTUDY_CONFIG', JSON.stringify(config));
  vi.stubEnv('UNDERSTUDY_ENDPOINTS', JSON.stringify({ [EU]: servers.endpoints, [US]: servers.endpoints }));
  const { writeTelemetryTo, theRuntime } = await import('#functions/runtime.ts');
  writeTelemetryTo(() => {});
  acceptor = theRuntime().peers.acceptor(EU);
  const { handler } = await import('#functions/leads/handler.ts');
  invoke = (event) => (handler as (event: unknown, context: Context) => Promise<unknown>)(event, context);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await servers?.[Symbol.asyncDispose]();
});

/** The Region's sentinel beats, with a lease that ends in so many ms. */
const beat = (epoch: typeof E1, counter: number, leftMs: number) =>
  acceptor.beat({ epoch, counter, leaseUntilMs: Date.now() + leftMs });

test('says yes while the Region leads and holds its lease, and never else', async () => {
  const leads = async () => (await invoke(REQUEST)) as object;
  const [yes, no] = [{ statusCode: 200 }, { statusCode: 503 }];
  expect(await leads()).toEqual(no);

  const first = ballotAfter(BALLOT_ZERO, EU, 'first');
  await acceptor.join(first, founded(EU, E1, 'first'));
  expect(await leads()).toEqual(no);
  await beat(E1, 1, 60_000);
  expect(await leads()).toEqual(yes);
  // Cut off from the others: nobody has told it that it is deposed, and its lease runs out all the same.
  await beat(E1, 2, -1);
  expect(await leads()).toEqual(no);
  await beat(E1, 3, 60_000);
  expect(await leads()).toEqual(yes);

  await acceptor.vote(E1, 'over');
  expect(await leads()).toEqual(no);
  await acceptor.accept(ballotAfter(first, US, 'second'), founded(US, E2, 'second'));
  expect(await leads()).toEqual(no);
  // What a deposed process still says of its own epoch is not believed.
  await beat(E1, 4, 60_000);
  expect(await leads()).toEqual(no);
});

test('refuses what is no request to its URL', async () => {
  await expect(invoke({ kind: 'tick' })).rejects.toThrow(/^EVENT_INVALID: /);
});
