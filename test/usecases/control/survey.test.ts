import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { founded } from '#lib/domain/control/register.ts';
import { registerOf } from '#lib/domain/control/survey.ts';
import type { RegionId } from '#lib/domain/ids.ts';
import { MemoryAcceptor } from '#lib/local/memory/memory-acceptor.ts';
import { MemoryAlarms } from '#lib/local/memory/memory-alarms.ts';
import { MemoryDivergences } from '#lib/local/memory/memory-divergences.ts';
import { MemoryVantages } from '#lib/local/memory/memory-vantages.ts';
import type { AlarmStates } from '#lib/ports/alarm-states.ts';
import { epochsUpTo, type SurveyDeps, surveyGroup } from '#lib/usecases/control/survey.ts';
import { E1 } from '../../support/log-history.ts';
import { AP, EU, MemoryGroup, US } from '../../support/memory-group.ts';

const REGIONS = [EU, US, AP];
const BALLOT = '000000000001#eu-west-1#x' as never;

/** A group that EU leads; what `broken` says stands for a Region's acceptor. Time passes once `elapse` is called. */
async function open(
  broken: Partial<Record<RegionId, () => Promise<never>>> = {},
  {
    witnesses = [],
    alarms = {},
    record = { name: 'orders.example.com', of: { read: () => new Promise(() => {}) } },
  }: {
    readonly record?: SurveyDeps['record'];
    readonly witnesses?: readonly RegionId[];
    readonly alarms?: Partial<Record<RegionId, AlarmStates>>;
  } = {},
) {
  const group = await new MemoryGroup(REGIONS.map((name) => ({ name }))).lead(EU);
  const acceptors = new Map(REGIONS.map((region) => [region, new MemoryAcceptor()]));
  for (const acceptor of acceptors.values()) await acceptor.join(BALLOT, founded(EU, E1, 'founding'));
  const { promise: elapsed, resolve: elapse } = Promise.withResolvers<void>();
  const survey = surveyGroup({
    replicas: REGIONS.filter((region) => !witnesses.includes(region)),
    witnesses,
    peers: {
      acceptor: (region) => ({ read: broken[region] ?? (() => acceptors.get(region)!.read()) }),
      log: (region) => group.log(region),
      control: (region) => group.control(region),
      divergences: () => new MemoryDivergences(),
      approvals: () => ({ pending: async () => undefined }),
      alarms: (region) => alarms[region] ?? new MemoryAlarms(),
    },
    alarmNames: ['applied-lag', 'votes'],
    ...(record && { record }),
    clock: { now: () => 5, steadyMs: () => 7 },
    sleep: () => elapsed,
    patienceMs: 3_000,
  });
  return { survey, elapse };
}

test('a Region that hangs, and DNS that hangs, are reported once their time is over; the others are there', async () => {
  const { elapse, survey } = await open({ [US]: () => new Promise(() => {}) });
  await turn();
  elapse();
  const { dns, regions } = await survey;
  expect(regions.map(({ error, head }) => [error, head !== undefined])).toEqual([
    [undefined, true],
    ['no answer in 3000 ms', false],
    [undefined, true],
  ]);
  expect(dns).toEqual({ name: 'orders.example.com', error: 'no answer in 3000 ms' });
});

test.each([
  ['one', { one: ['us.example.com'] }, { regions: [US] }],
  ['several', { one: ['us.example.com'], two: ['eu.example.com', 'us.example.com'] }, { regions: [EU, US] }],
  ['none', { one: ['us.example.com'], two: undefined }, { error: 'two does not answer: no answer' }],
  ['a stranger', { one: ['x.example.com'] }, { error: 'one names x.example.com, which no Region is' }],
])(
  'where health checks choose, the record is what its name servers answer with: %s',
  async (_, served, dns) => {
    const vantages = new MemoryVantages(() => new Map(Object.entries(served)));
    const targets = { [EU]: 'eu.example.com', [US]: 'us.example.com' };
    const { survey } = await open({}, { record: { name: 'orders.example.com', vantages, targets } });
    expect((await survey).dns).toEqual({ name: 'orders.example.com', ...dns });
  },
);

test('a Region that fails holds up nobody, and the register is the one of the majority that answers', async () => {
  const { elapse, survey } = await open({ [EU]: () => Promise.reject(new Error('refused')) });
  await turn();
  elapse();
  const found = await survey;
  expect(found.regions[0]).toEqual({ region: EU, error: 'refused', alarms: [] });
  expect(registerOf(found)).toMatchObject({ agreed: true, register: { leader: EU } });
});

test('a register that only a minority shows is not called agreed', async () => {
  const refused = () => Promise.reject(new Error('refused'));
  const { elapse, survey } = await open({ [EU]: refused, [US]: refused });
  await turn();
  elapse();
  expect(registerOf(await survey)).toMatchObject({ agreed: false, register: { leader: EU } });
});

test('a witness is asked for its vote alone, and counts in the majority', async () => {
  const refused = () => Promise.reject(new Error('refused'));
  const { elapse, survey } = await open({ [EU]: refused }, { witnesses: [AP] });
  await turn();
  elapse();
  const found = await survey;
  const [, , witness] = found.regions;
  expect(Object.keys(witness!).sort()).toEqual(['acceptor', 'alarms', 'region', 'roundTripMs', 'witness']);
  expect(registerOf(found)).toMatchObject({ agreed: true, register: { leader: EU } });
});

test('alarms are told beside the rest: neither waits for the other, nor is missing where the other is', async () => {
  const us = new MemoryAlarms();
  us.set({ alarm: 'votes', state: 'alarm', sinceMs: 3, reason: 'r', text: 't' });
  const { elapse, survey } = await open(
    { [US]: () => Promise.reject(new Error('refused')) },
    {
      alarms: {
        [US]: us,
        [AP]: { of: () => new Promise(() => {}) },
        [EU]: { of: () => Promise.reject(new Error('throttled')) },
      },
    },
  );
  await turn();
  elapse();
  const { regions } = await survey;
  expect(regions.map(({ alarms, error, head }) => [alarms, error, head !== undefined])).toEqual([
    [{ error: 'throttled' }, undefined, true],
    [[expect.objectContaining({ alarm: 'votes', state: 'alarm' })], 'refused', false],
    [{ error: 'no answer in 3000 ms' }, undefined, true],
  ]);
});

test('epochs are counted from the newest back', () => {
  expect(epochsUpTo(5, 2)).toEqual([4, 5]);
  expect(epochsUpTo(2)).toEqual([1, 2]);
  expect(epochsUpTo(0)).toEqual([]);
});
