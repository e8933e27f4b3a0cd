import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jsonLine } from '#lib/cli/json-line.ts';
import type { Members } from '#lib/cli/synthesize.ts';
import { table } from '#lib/cli/table.ts';
import { PROFILES } from '#lib/domain/control/profile.ts';
import { alternativeOf, billOf, unitsOf } from '#lib/domain/cost/bill.ts';
import { DATABASE_LOAD, DEFAULT_LOAD, type Load } from '#lib/domain/cost/load.ts';
import { type BillLine, PRICES, totalOf } from '#lib/domain/cost/price-list.ts';
import { factsOf, isOurs, type StackFacts } from '#lib/domain/cost/stack-facts.ts';
import { UnderstudyError } from '#lib/domain/errors.ts';

export type CostOptions = {
  app?: string;
  config?: string;
  regions?: string;
  witness?: string;
  records?: string;
  bytes?: string;
  inserts?: string;
  provisioned?: boolean;
  utilization?: string;
  commits?: string;
  natGateways?: string;
  idle?: boolean;
  json?: boolean;
};

/** What a group may cost while nobody writes, and a follower at the default load with provisioned capacity, USD a month. */
const IDLE_GOAL = 10;
const FOLLOWER_GOAL = 600;

/** `understudy cost`: the monthly bill from the synthesized templates and a stated load, beside that of AWS's own replication. */
export async function costCommand(options: CostOptions): Promise<number> {
  const given = loadOf(options);
  const stacks = await stacksOf(options);
  const isOfTables = stacks.every(({ engine }) => engine === 'dynamodb');
  refuseForeign(options, isOfTables);
  const load: Load = { ...(isOfTables ? DEFAULT_LOAD : DATABASE_LOAD), ...given };
  const idle = totalOf(billOf(stacks, { ...load, records: 0 }));
  const idleBy = idleByProfile(stacks, load);
  const lines = billOf(stacks, load);
  const others = alternativeOf(stacks, load);
  const follower = stacks.filter(({ replica }) => replica)[1]!.region;
  const followerUsd = totalOf(lines.filter(({ region }) => region === follower));
  const goals = [
    { goal: 'idle', usd: idle, limit: IDLE_GOAL, over: Math.max(0, idle - IDLE_GOAL) },
    {
      goal: `follower ${follower}`,
      usd: followerUsd,
      limit: FOLLOWER_GOAL,
      over: Math.max(0, followerUsd - FOLLOWER_GOAL),
    },
  ];
  const totals = { total: totalOf(lines), idle, idleByProfile: idleBy, [others.key]: totalOf(others.lines) };
  if (options.json) {
    console.log(jsonLine({ load, prices: PRICES.asOf, lines, totals, goals, [others.key]: others.lines }));
    return 0;
  }
  for (const line of table(HEAD, [...lines].map(cells))) console.log(line);
  console.log(`\nTotal ${usd(totalOf(lines))} a month; idle ${usd(idle)}.`);
  const profiles = Object.entries(idleBy).map(([name, sum]) => `${name} ${usd(sum)}`);
  console.log(`Idle by profile: ${profiles.join(', ')}.`);
  console.log(`${others.name}, replication alone: ${usd(totalOf(others.lines))}.`);
  for (const { goal, limit, over } of goals) {
    const largest = [...(goal === 'idle' ? billOf(stacks, { ...load, records: 0 }) : lines)]
      .filter(({ region }) => goal === 'idle' || region === follower)
      .toSorted((a, b) => b.usd - a.usd)
      .slice(0, 3)
      .map((line) => `${line.what} in ${line.region} ${usd(line.usd)}`);
    const verdict = over === 0 ? 'met' : `missed by ${usd(over)}: ${largest.join(', ')}`;
    console.log(`Goal ${goal}, at most ${usd(limit)}: ${verdict}.`);
  }
  const [stored, plain] = [unitsOf(load.bytes), Math.max(1, Math.ceil(load.bytes / 1_024))];
  if (isOfTables && load.records > 0 && stored > plain) {
    console.log(
      `An item of ${load.bytes} bytes takes ${stored} write units and not ${plain}: the stamp adds 28 bytes.`,
    );
  }
  if (!isOfTables) {
    console.log(
      'Not in it: the databases themselves, with what their storage takes for writes, and traffic between VPCs.',
    );
  }
  console.log(
    `Prices of ${PRICES.asOf} for ${PRICES.region}, without free tiers: lib/domain/cost/prices.json.`,
  );
  return 0;
}

/** What the same stacks would cost while nobody writes, by how soon a lost leader is noticed, USD a month. */
function idleByProfile(stacks: readonly StackFacts[], load: Load): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.values(PROFILES).map(({ name }) => {
      const under = stacks.map((stack) => ({ ...stack, profile: name }));
      return [name, totalOf(billOf(under, { ...load, records: 0 }))];
    }),
  );
}

const HEAD = ['service', 'Region', 'what', 'quantity', 'unit', '$ a unit', '$'];

function cells({ service, region, what, quantity, unit, unitPrice, usd: sum }: BillLine): readonly string[] {
  return [
    service,
    region,
    what,
    Math.round(quantity).toLocaleString('en-US'),
    unit,
    unitPrice.toPrecision(3),
    sum.toFixed(2),
  ];
}

function usd(amount: number): string {
  return `$${amount.toFixed(2)}`;
}

/** Of the load, what is stated. */
function loadOf(options: CostOptions): Partial<Load> {
  const number = (
    name: 'records' | 'bytes' | 'inserts' | 'utilization' | 'commits' | 'natGateways',
    least: number,
    most: number,
  ) => {
    const text = options[name];
    if (text === undefined) return {};
    const value = Number(text);
    if (text.trim() !== '' && value >= least && value <= most) return { [name]: value };
    throw new UnderstudyError(
      'CONFIG_INVALID',
      `--${kebab(name)} ${text} is not a number from ${least} to ${most}`,
      'Give one, or leave it out for what --help says.',
    );
  };
  return {
    ...number('records', 0, 1e6),
    ...number('bytes', 1, 409_600),
    ...number('inserts', 0, 1),
    ...number('utilization', 0.01, 1),
    ...number('commits', 0.01, 100),
    ...number('natGateways', 0, 10),
    ...(options.idle && { records: 0 }),
    ...(options.provisioned && { capacity: 'provisioned' }),
  };
}

/** What says something of a kind of store that the group does not have would be left out of the bill without a word. */
function refuseForeign(options: CostOptions, isOfTables: boolean): void {
  const foreign = isOfTables
    ? (['natGateways'] as const)
    : (['inserts', 'provisioned', 'utilization'] as const);
  const given = foreign.find((name) => options[name] !== undefined);
  if (given === undefined) return;
  const [here, there] = isOfTables ? ['tables', 'databases'] : ['databases', 'tables'];
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `--${kebab(given)} is of groups of ${there}, and this is one of ${here}`,
    'Leave it out.',
  );
}

function kebab(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The stacks of a synthesized app; without one, those that the config describes, in the Regions that are stated. */
async function stacksOf(options: CostOptions): Promise<readonly StackFacts[]> {
  const { app, config = 'understudy.config.json' } = options;
  const members = membersOf(options);
  if (app !== undefined) return readApp(app);
  const folder = await mkdtemp(join(tmpdir(), 'understudy-cost-'));
  try {
    const { synthesizeTo } = await import('#lib/cli/synthesize.ts');
    synthesizeTo(folder, config, members);
    return await readApp(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function membersOf({ app, regions, witness }: CostOptions): Members | undefined {
  if (regions === undefined && witness === undefined) return undefined;
  if (regions === undefined || app !== undefined) {
    throw new UnderstudyError(
      'CONFIG_INVALID',
      regions === undefined
        ? '--witness goes with --regions'
        : '--regions moves the group of a config, and an app has Regions of its own',
      'Give --regions with all replicas, and --config or no --app.',
    );
  }
  const namesIn = (list: string) => list.split(',').map((name) => name.trim());
  return { regions: namesIn(regions), witnesses: witness === undefined ? undefined : namesIn(witness) };
}

async function readApp(folder: string): Promise<readonly StackFacts[]> {
  const stacks: StackFacts[] = [];
  const names = await readdir(folder).catch((): string[] => []);
  if (names.includes('manifest.json')) {
    const { artifacts = {} } = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as {
      artifacts?: Record<string, { environment?: string; properties?: { templateFile?: string } }>;
    };
    for (const { environment = '', properties } of Object.values(artifacts)) {
      if (properties?.templateFile === undefined) continue;
      const template = JSON.parse(await readFile(join(folder, properties.templateFile), 'utf8'));
      if (isOurs(template)) stacks.push(factsOf(environment.split('/').at(-1)!, template));
    }
  }
  if (stacks.filter(({ replica }) => replica).length >= 2) return stacks;
  throw new UnderstudyError(
    'CONFIG_INVALID',
    `${folder} is not a synthesized app with a group of Understudy's`,
    'Name the output folder of cdk synth, or leave --app out to synthesize from the config.',
  );
}
