import { describe, expect, test } from 'vitest';
import { alternativeOf, appendUnits, billOf, globalTablesOf, unitsOf } from '#lib/domain/cost/bill.ts';
import { commitsOf, DATABASE_LOAD, DEFAULT_LOAD, type Load } from '#lib/domain/cost/load.ts';
import { PRICES, totalOf } from '#lib/domain/cost/price-list.ts';
import { factsOf, isOurs, type StackFacts } from '#lib/domain/cost/stack-facts.ts';
import { appOf, fileOf } from '../constructs/stacks.ts';

const replica: StackFacts = {
  region: 'eu-west-1',
  replica: true,
  profile: 'balanced',
  engine: 'dynamodb',
  memory: { sentinel: 512, capture: 1024, relay: 1024, apply: 1024 },
  traced: false,
  alarms: 10,
  composites: 1,
  dashboards: 0,
  keys: 0,
  healthChecks: 0,
  locksSegments: false,
  isRegisterGlobal: false,
};
const follower = { ...replica, region: 'us-east-1' };
const witness = { ...replica, region: 'eu-central-1', replica: false, alarms: 0, composites: 0 };
const group = [replica, follower, witness];
const IDLE: Load = { ...DEFAULT_LOAD, records: 0 };

const usd = (load: Load, region: string, what: string) =>
  totalOf(billOf(group, load).filter((line) => line.region === region && line.what.startsWith(what)));

describe('the bill', () => {
  test('has a line for what runs all the time, at the memory of the template', () => {
    // 0.5 GB for 62 seconds of each minute of 730 hours.
    expect(usd(IDLE, 'eu-west-1', 'sentinel')).toBeCloseTo(0.5 * 730 * 3600 * (62 / 60) * 0.0000133334, 6);
    expect(usd(IDLE, 'eu-west-1', 'alarms')).toBeCloseTo(1);
    expect(usd(IDLE, 'eu-west-1', 'composite')).toBeCloseTo(0.5);
    // Every three seconds.
    expect(usd(IDLE, 'eu-central-1', 'beats')).toBeCloseTo((876_000 * 0.625) / 1e6, 6);
  });

  test('counts the health checks that move DNS, with all the questions that they ask', () => {
    const checked = { ...replica, healthChecks: 1, memory: { ...replica.memory, leads: 256 } };
    const of = (stack: StackFacts) => totalOf(billOf([stack], IDLE));
    // The check and its two features; invocations, reads, time, and 900 bytes of log for each of 4.2 million questions.
    const asked = (16 * 730 * 3600) / 10;
    const each = (0.2 + 0.125) / 1e6 + 0.25 * 0.02 * 0.0000133334 + (900 / 1e9) * 0.5;
    expect(of(checked) - of(replica)).toBeCloseTo(2.5 + asked * each, 4);
  });

  test('counts the beats of an MRSC register in every Region for all three, at the price of replicated writes', () => {
    const of = (stack: StackFacts) => totalOf(billOf([stack], IDLE));
    const global = { ...replica, isRegisterGlobal: true };
    expect(of(global) - of(replica)).toBeCloseTo(876_000 * (3 * 0.625e-6 - 0.625e-6), 6);
    const [line] = billOf([global], IDLE).filter(({ what }) => what.startsWith('beats'));
    expect(line).toMatchObject({ quantity: 3 * 876_000, unit: 'replicated write request units' });
  });

  test('of an append is about 7.5 dollars a million', () => {
    const append =
      usd(DEFAULT_LOAD, 'us-east-1', 'segments put') + usd(DEFAULT_LOAD, 'us-east-1', 'log appended');
    expect((append / (4 * 730 * 3600)) * 1e6).toBeCloseTo(7.5, 6);
  });

  test('of an append whose segment is small is that of its entry, unless S3 locks the segments', () => {
    const append = (load: Load, stack: StackFacts) => {
      const lines = billOf([stack], load).filter(({ what }) =>
        /^(segments (put|read)|log appended)$/.test(what),
      );
      return (totalOf(lines) / (commitsOf(load, stack) * 730 * 3600)) * 1e6;
    };
    expect(append(IDLE, replica)).toBeCloseTo(4 * 0.625, 6);
    expect(append(IDLE, { ...replica, locksSegments: true })).toBeCloseTo(5 + 0.4 + 4 * 0.625, 6);
    // Two records in each segment, which takes 2,278 bytes: three units, of a transaction each.
    const some: Load = { ...DEFAULT_LOAD, records: 8 };
    expect(append(some, replica)).toBeCloseTo(8 * 0.625, 6);
    expect([0, 564, 565, 3072].map(appendUnits)).toEqual([4, 4, 6, 10]);
  });

  test('asks nothing of a witness for log, store and figures', () => {
    const services = billOf(group, DEFAULT_LOAD)
      .filter(({ region }) => region === witness.region)
      .map(({ what }) => what);
    expect(services).toEqual([
      'sentinel, all the time',
      'beats of the leader',
      'looks at the acceptor and the role',
    ]);
  });

  test('counts applied changes by the units that their size and stamp take, twice for new items', () => {
    const load = { ...DEFAULT_LOAD, bytes: 996 };
    const applied = usd(load, 'us-east-1', 'changes applied');
    expect(applied).toBeCloseTo(1_000 * 730 * 3600 * 0.625e-6, 6);
    expect(usd({ ...load, bytes: 997 }, 'us-east-1', 'changes applied')).toBeCloseTo(2 * applied, 6);
    expect(usd({ ...load, inserts: 1 }, 'us-east-1', 'changes applied')).toBeCloseTo(2 * applied, 6);
    expect(usd(load, 'eu-west-1', 'changes applied')).toBe(0);
    expect([996, 997, 1, 409_572].map(unitsOf)).toEqual([1, 2, 1, 400]);
  });

  test('with provisioned capacity pays for what is provisioned, used or not', () => {
    const load: Load = { ...DEFAULT_LOAD, bytes: 996, capacity: 'provisioned' };
    expect(usd(load, 'us-east-1', 'changes applied')).toBeCloseTo(474.5, 6);
    expect(usd({ ...load, utilization: 0.5 }, 'us-east-1', 'changes applied')).toBeCloseTo(949, 6);
  });

  test('commits as often as Lambda polls, as often as there is something, and never less than a canary', () => {
    expect(commitsOf(IDLE, replica)).toBeCloseTo(1 / 3);
    expect(commitsOf({ ...DEFAULT_LOAD, records: 2 }, replica)).toBe(2);
    expect(commitsOf(DEFAULT_LOAD, replica)).toBe(4);
  });

  test('has traces only where the template has them', () => {
    expect(usd(IDLE, 'us-east-1', 'traces')).toBe(0);
    const traced = billOf(
      group.map((each) => ({ ...each, traced: true })),
      IDLE,
    );
    expect(totalOf(traced.filter(({ what }) => what === 'traces'))).toBeGreaterThan(1);
  });

  test('stands beside that of global tables for the same load', () => {
    const lines = globalTablesOf(group, { ...DEFAULT_LOAD, capacity: 'provisioned' });
    expect(lines.map(({ region, what }) => [region, what])).toEqual([
      ['us-east-1', 'replicated writes'],
      ['eu-west-1', 'writes to the replicas'],
    ]);
    expect(lines[0]!.usd).toBeCloseTo(474.5, 6);
    expect(totalOf(globalTablesOf(group, IDLE))).toBe(0);
  });
});

describe('the bill of databases', () => {
  const databases = group.map((stack): StackFacts => ({ ...stack, engine: 'postgres' }));
  const line = (load: Load, region: string, what: string) =>
    totalOf(billOf(databases, load).filter((each) => each.region === region && each.what === what));

  test('has the function that reads the slot of the leader all the time, and a look a minute elsewhere', () => {
    const month = 730 * 3600;
    expect(line(DATABASE_LOAD, 'eu-west-1', 'capture, reading the slot all the time')).toBeCloseTo(
      month * (75 / 60) * 0.0000133334,
      6,
    );
    expect(line(DATABASE_LOAD, 'us-east-1', 'capture, looking at the slot each minute')).toBeCloseTo(
      (month / 60) * 0.5 * 0.0000133334,
      6,
    );
  });

  test('has no table for the store, and of its figures those of the slot, too', () => {
    const whats = new Set(billOf(databases, DATABASE_LOAD).map(({ what }) => what));
    for (const what of ['changes applied', 'canaries', 'position']) expect(whats).not.toContain(what);
    const figures = (stacks: readonly StackFacts[]) =>
      billOf(stacks, IDLE).find(({ region, what }) => region === 'us-east-1' && what === 'metrics')!.quantity;
    expect(figures(databases)).toBe(figures(group) + 1);
  });

  test('has the way out of every Region, that of a witness, too, unless it is there already', () => {
    for (const { region } of databases) {
      expect(line(DATABASE_LOAD, region, 'NAT gateways')).toBeCloseTo(730 * 0.045, 6);
      expect(line({ ...DATABASE_LOAD, natGateways: 0 }, region, 'NAT gateways')).toBe(0);
    }
    const twice = { ...DATABASE_LOAD, records: 2 * DATABASE_LOAD.records };
    const grows = (region: string) =>
      line(twice, region, 'through NAT gateways') - line(DATABASE_LOAD, region, 'through NAT gateways');
    expect(grows('us-east-1')).toBeCloseTo(((1_000 * 1_024 * 730 * 3600) / 1e9) * 0.045, 6);
    expect(grows('eu-central-1')).toBe(0);
  });

  test('pays for appends one after the other, and for no more hints of them than Lambda takes', () => {
    const appended = line(DATABASE_LOAD, 'us-east-1', 'log appended');
    expect(appended).toBeCloseTo(20 * 730 * 3600 * 4 * 0.625e-6, 6);
    const invocations = (commits: number) => line({ ...DATABASE_LOAD, commits }, 'us-east-1', 'invocations');
    expect(invocations(20)).toBe(invocations(4));
    expect(invocations(2)).toBeLessThan(invocations(4));
  });

  test('stands beside that of a global database for the same load', () => {
    const { key, lines } = alternativeOf(databases, DATABASE_LOAD);
    expect(key).toBe('globalDatabase');
    expect(lines.map(({ region, what }) => [region, what])).toEqual([
      ['us-east-1', 'replicated writes'],
      ['eu-west-1', 'writes to the replicas'],
    ]);
    expect(lines[0]!.usd).toBeCloseTo(1_000 * 730 * 3600 * 0.2e-6, 6);
    expect(alternativeOf(group, DEFAULT_LOAD).key).toBe('globalTables');
  });
});

test('every price has a page to look it up at, and says where it was read or that nobody has', () => {
  expect(PRICES.asOf).toMatch(/^\d{4}-\d\d-\d\d$/);
  for (const [id, { page, per, source, usd }] of Object.entries(PRICES.prices)) {
    expect(page, id).toMatch(/^https:\/\/aws\.amazon\.com\//);
    expect(Math.min(usd, per), id).toBeGreaterThan(0);
    if (source !== null) expect(source.page, id).toMatch(/^https:\/\//);
  }
});

test('an MRSC register is read from the templates of its Regions; its own has nothing to pay for by itself', () => {
  const regions = [{ name: 'eu-west-1' }, { name: 'eu-west-2' }, { name: 'eu-west-3' }];
  const { group, templates } = appOf(fileOf({ regions, register: 'mrsc', failover: {} }));
  expect(templates.map((each) => factsOf('r', each.toJSON()).isRegisterGlobal)).toEqual([true, true, true]);
  expect(templates.every((each) => isOurs(each.toJSON()))).toBe(true);
  expect(isOurs({ Description: group.register!.templateOptions.description! })).toBe(false);
});

test('what the bill depends on is read from the templates', () => {
  const file = fileOf({
    regions: [{ name: 'eu-west-1' }, { name: 'us-east-1' }],
    witnesses: ['eu-central-1'],
    failover: { profile: 'cautious' },
  });
  const templates = appOf(file).templates.map((each) => each.toJSON());
  expect(templates.every(isOurs)).toBe(true);
  expect(isOurs({ Description: 'something else' })).toBe(false);
  const [eu, , voter] = templates.map((each) => factsOf('r', each));
  expect(eu).toMatchObject({
    replica: true,
    isRegisterGlobal: false,
    profile: 'cautious',
    traced: true,
    composites: 1,
    keys: 0,
  });
  expect(eu!.memory).toMatchObject({ capture: 1024, sentinel: 256, retention: 512 });
  expect(eu!.alarms).toBeGreaterThan(10);
  expect(voter).toMatchObject({ replica: false, profile: 'cautious' });
  expect(voter!.alarms).toBeLessThan(eu!.alarms);
});
