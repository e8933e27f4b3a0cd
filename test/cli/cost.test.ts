import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { databasesFileOf } from '../constructs/stacks.ts';
import { jsonLines, understudy } from './run.ts';

let tmp: string;
let databases: string;
beforeAll(async () => {
  tmp = await mkdtemp(join(tmpdir(), 'cli-'));
  databases = join(tmp, 'databases.json');
  await writeFile(databases, JSON.stringify(databasesFileOf()));
});
afterAll(() => rm(tmp, { recursive: true }));

const cost = (...args: string[]) => understudy(['cost', ...args], tmp).finished;

test('the bill of the sample group adds up, and says by how much a goal is missed', async () => {
  const { status, stderr, stdout } = await cost('--json', '--provisioned', '--bytes', '900');
  expect([status, stderr]).toEqual([0, '']);
  const [bill] = jsonLines(stdout) as {
    lines: { region: string; usd: number }[];
    totals: { total: number; idle: number; idleByProfile: Record<string, number> };
    goals: { goal: string; usd: number; limit: number; over: number }[];
  }[];
  expect(new Set(bill!.lines.map(({ region }) => region)).size).toBe(3);
  expect(bill!.lines.reduce((sum, { usd }) => sum + usd, 0)).toBeCloseTo(bill!.totals.total, 6);
  expect(bill!.goals.map(({ goal, limit }) => [goal, limit])).toEqual([
    ['idle', 10],
    ['follower us-east-1', 600],
  ]);
  for (const { limit, over, usd } of bill!.goals) expect(over).toBeCloseTo(Math.max(0, usd - limit), 6);
  // The sample is `balanced`; who notices sooner beats more often.
  const { cautious, balanced, fast } = bill!.totals.idleByProfile;
  expect(balanced).toBe(bill!.totals.idle);
  expect(cautious).toBeLessThan(balanced!);
  expect(fast).toBeGreaterThan(balanced!);
}, 60_000);

test('the Regions may be stated: each has its lines, and a witness costs little', async () => {
  const three = ['sa-east-1', 'ca-central-1', 'ap-south-1'];
  const { status, stderr, stdout } = await cost(
    ...['--json', '--regions', three.join(', '), '--witness', 'us-west-2'],
  );
  expect([status, stderr]).toEqual([0, '']);
  const [bill] = jsonLines(stdout) as {
    lines: { region: string; usd: number }[];
    goals: { goal: string }[];
  }[];
  const sums = new Map<string, number>();
  for (const { region, usd } of bill!.lines) sums.set(region, (sums.get(region) ?? 0) + usd);
  expect([...sums.keys()]).toEqual([...three, 'us-west-2']);
  expect(bill!.goals[1]!.goal).toBe('follower ca-central-1');
  expect(sums.get('us-west-2')).toBeGreaterThan(0);
  expect(sums.get('us-west-2')).toBeLessThan(sums.get('ca-central-1')! / 5);
}, 60_000);

test('the bill of a group of databases has its lines, and says what is not in it', async () => {
  const { status, stderr, stdout } = await cost('--config', databases, '--json');
  expect([status, stderr]).toEqual([0, '']);
  const [bill] = jsonLines(stdout) as {
    load: { commits: number };
    lines: { region: string; what: string; usd: number }[];
    totals: { total: number; globalDatabase: number };
    goals: { goal: string }[];
    globalDatabase: { usd: number }[];
  }[];
  expect(bill!.load.commits).toBe(20);
  expect(bill!.lines.reduce((sum, { usd }) => sum + usd, 0)).toBeCloseTo(bill!.totals.total, 6);
  expect(bill!.globalDatabase.reduce((sum, { usd }) => sum + usd, 0)).toBeCloseTo(
    bill!.totals.globalDatabase,
    6,
  );
  expect(bill!.goals.map(({ goal }) => goal)).toEqual(['idle', 'follower us-east-1']);
  const text = await cost(
    '--config',
    databases,
    '--idle',
    '--nat-gateways',
    '0',
    '--regions',
    'sa-east-1,ap-south-1',
  );
  expect([text.status, text.stderr]).toEqual([0, '']);
  expect(text.stdout).toContain('capture, reading the slot all the time');
  for (const region of ['sa-east-1', 'ap-south-1', 'eu-central-1']) expect(text.stdout).toContain(region);
  expect(text.stdout).toContain('Aurora global database, replication alone: $0.00.');
  expect(text.stdout).toContain('Not in it: the databases themselves');
  expect(text.stdout).not.toContain('gateway hours');
}, 60_000);

test.each([['--provisioned'], ['--inserts', '0.5'], ['--utilization', '0.5']])(
  '%s is of tables, and refused for databases',
  async (...args) => {
    const { status, stderr, stdout } = await cost('--config', databases, ...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(`${args[0]} is of groups of tables, and this is one of databases`);
  },
  60_000,
);

test.each([
  [['--nat-gateways', '1'], '--nat-gateways is of groups of databases'],
  [['--nat-gateways', 'some'], '--nat-gateways some is not a number from 0 to 10'],
  [['--regions', 'eu-west-1,mars-north-1,us-east-1'], 'regions[1]: AWS has no Region mars-north-1'],
  [['--regions', 'eu-west-1,us-east-1', '--witness', 'us-east-1'], 'witness: us-east-1 is a replica, too'],
  [['--witness', 'us-east-1'], '--witness goes with --regions'],
  [['--regions', 'eu-west-1', '--app', '/nowhere'], 'an app has Regions of its own'],
  [['--records', 'many'], '--records many is not a number'],
  [['--inserts', '2'], '--inserts 2 is not a number from 0 to 1'],
  [['--app', '/nowhere'], '/nowhere is not a synthesized app'],
  [['--config', '/nowhere.json'], '/nowhere.json cannot be read'],
])(
  '%s is bad input: it says so and reckons nothing',
  async (args, expected) => {
    const { status, stderr, stdout } = await cost(...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toContain(expected);
  },
  60_000,
);
